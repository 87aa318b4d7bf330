//! The results as a chart: one panel for each work, in it a group of bars for
//! each line of the table, a bar for each switch.
//!
//! A bar's height is the ratio to the Linux bridge, so that figures of
//! different units stand side by side; a whisker spans the rounds, and the
//! median stands above.

use super::Report;
use super::peer::Peer;
use super::result::{Line, Series};
use super::statistics::Summary;
use super::work::WorkName;
use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::collections::BTreeSet;

const WIDTH: u32 = 1200;
const PANEL: u32 = 300;
const HEAD: u32 = 96;
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const FAINT: RGBColor = RGBColor(0x77, 0x77, 0x77);
/// Part of a group's width that its bars take.
const FILLED: f64 = 0.82;
/// Bars that are higher than this are cut: one of 200 would leave nothing to
/// see of the others.
const CUT: f64 = 4.0;
/// Room for this many groups in a panel, at least: bars as broad as a hand say
/// no more.
const ROOM: f64 = 4.0;
/// Groups in a panel, at most: labels below need room.
const GROUPS: usize = 8;

/// The chart as SVG.
///
/// # Errors
/// There is nothing to draw.
pub(crate) fn svg(report: &Report) -> Result<String> {
    let panels = panels(report);
    anyhow::ensure!(!panels.is_empty(), "there are no figures to draw");
    let mut text = String::new();
    let height = HEAD + PANEL * u32::try_from(panels.len())?;
    {
        let root = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        draw(report, &panels, &root).map_err(|error| anyhow!("cannot draw: {error}"))?;
        root.present()?;
    }
    Ok(text)
}

/// What stands in one panel.
struct Panel<'r> {
    title: String,
    lines: Vec<&'r Line>,
}

/// Whom bars are set against, where it is there.
const YARDSTICK: [Peer; 2] = [Peer::Bridge, Peer::Vmlan];

fn panels(report: &Report) -> Vec<Panel<'_>> {
    let lines = &report.results.lines;
    let works: BTreeSet<WorkName> = lines.iter().map(|line| line.work).collect();
    let mut panels = Vec::new();
    for work in works {
        // A panel of one switch compares nothing.
        let lines: Vec<_> = lines
            .iter()
            .filter(|line| line.work == work && line.peers.len() > 1 && base(line).is_some())
            .collect();
        for lines in lines.chunks(GROUPS) {
            let better = match lines.first() {
                Some(line) if line.less_is_better => "less is better",
                _ => "more is better",
            };
            panels.push(Panel {
                title: format!("{} ({better})", work.title()),
                lines: lines.to_vec(),
            });
        }
    }
    panels
}

/// The median that is 1 in a group.
fn base(line: &Line) -> Option<f64> {
    YARDSTICK
        .into_iter()
        .find_map(|peer| median_of(line, peer))
        .filter(|median| *median > 0.0)
}

fn median_of(line: &Line, peer: Peer) -> Option<f64> {
    let series = line.peers.iter().find(|series| series.peer == peer)?;
    Some(series.summary?.median)
}

fn color(peer: Peer) -> RGBColor {
    // Okabe and Ito's palette, which the colour-blind can tell apart.
    match peer {
        Peer::Vmlan => RGBColor(0xd5, 0x5e, 0x00),
        Peer::Variant => RGBColor(0xe6, 0x9f, 0x00),
        Peer::Bridge => RGBColor(0x00, 0x72, 0xb2),
        Peer::Ovs => RGBColor(0x00, 0x9e, 0x73),
        Peer::Vde => RGBColor(0xcc, 0x79, 0xa7),
        Peer::Dnsmasq => RGBColor(0xe6, 0x9f, 0x00),
        Peer::Kea => RGBColor(0x56, 0xb4, 0xe9),
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

fn draw(report: &Report, panels: &[Panel<'_>], root: &Area<'_>) -> Drawn {
    root.fill(&WHITE)?;
    let (head, body) = root.split_vertically(HEAD);
    draw_head(report, panels, &head)?;
    for (panel, area) in panels.iter().zip(body.split_evenly((panels.len(), 1))) {
        draw_panel(panel, &area)?;
    }
    Ok(())
}

fn draw_head(report: &Report, panels: &[Panel<'_>], area: &Area<'_>) -> Drawn {
    let title = (FONT, 26).into_font().style(FontStyle::Bold).color(&INK);
    area.draw(&Text::new("vmlan bench", (20, 14), title))?;
    let machine = &report.machine;
    let place = format!(
        "{}, {} cores, {}, {} · medians of {} rounds, ratio to the Linux bridge",
        machine.cpu, machine.cores, machine.kernel, machine.date, report.rounds
    );
    area.draw(&Text::new(
        place,
        (20, 48),
        (FONT, 15).into_font().color(&FAINT),
    ))?;
    let peers: BTreeSet<Peer> = panels
        .iter()
        .flat_map(|panel| &panel.lines)
        .flat_map(|line| &line.peers)
        .map(|series| series.peer)
        .collect();
    let mut x = 20;
    for peer in peers {
        let square = [(x, 72), (x + 14, 86)];
        area.draw(&Rectangle::new(square, color(peer).filled()))?;
        let label = (FONT, 16).into_font().color(&INK);
        area.draw(&Text::new(peer.label(), (x + 20, 72), label))?;
        x += 150;
    }
    Ok(())
}

fn draw_panel(panel: &Panel<'_>, area: &Area<'_>) -> Drawn {
    let groups = (panel.lines.len() as f64).max(ROOM);
    let top = panel
        .lines
        .iter()
        .filter_map(|line| Some((line, base(line)?)))
        .flat_map(|(line, base)| line.peers.iter().map(move |series| (series, base)))
        .filter_map(|(series, base)| Some(series.summary?.max / base))
        .fold(1.0, f64::max)
        .min(CUT);
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, (FONT, 19).into_font().color(&INK))
        .margin_left(8)
        .margin_right(16)
        .x_label_area_size(52)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..groups, 0.0..top * 1.22)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .y_labels(5)
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT.mix(0.25))
        .axis_style(FAINT)
        .y_label_style((FONT, 13).into_font().color(&FAINT))
        .y_label_formatter(&|ratio| format!("{ratio:.1}×"))
        .draw()?;
    chart.draw_series([PathElement::new(
        vec![(0.0, 1.0), (groups, 1.0)],
        color(Peer::Bridge).mix(0.7).stroke_width(1),
    )])?;

    let value_style = |weight| {
        (FONT, 13)
            .into_font()
            .style(weight)
            .color(&INK)
            .pos(Pos::new(HPos::Center, VPos::Bottom))
    };
    let below = |size, ink: &RGBColor| {
        (FONT, size)
            .into_font()
            .color(ink)
            .pos(Pos::new(HPos::Center, VPos::Top))
    };
    for (group, line) in panel.lines.iter().enumerate() {
        let Some(base) = base(line) else { continue };
        for bar in bars(group as f64, line, base, top) {
            let ink = color(bar.series.peer);
            let corners = [(bar.left, 0.0), (bar.right, bar.middle)];
            chart.draw_series([Rectangle::new(corners, ink.filled())])?;
            if let Some((low, high)) = bar.whisker {
                let half = (bar.right - bar.left) / 6.0;
                let center = bar.center();
                for stroke in [
                    [(center, low), (center, high)],
                    [(center - half, low), (center + half, low)],
                    [(center - half, high), (center + half, high)],
                ] {
                    let stroke = PathElement::new(stroke.to_vec(), INK.stroke_width(1));
                    chart.draw_series([stroke])?;
                }
            }
            let head = bar.whisker.map_or(bar.middle, |(_, high)| high);
            let above = (bar.center(), head + top * 0.02);
            let weight = match bar.series.peer {
                Peer::Vmlan => FontStyle::Bold,
                _ => FontStyle::Normal,
            };
            let cut = if bar.whisker.is_none() { "↑ " } else { "" };
            let value = format!("{cut}{}", line.unit.show(bar.value));
            let shown = EmptyElement::at(above) + Text::new(value, (0, 0), value_style(weight));
            chart.draw_series([shown])?;
        }
        let at = (group as f64 + 0.5, 0.0);
        let first = match line.what.as_str() {
            "" => line.case.clone(),
            what => format!("{}, {what}", line.case),
        };
        let ratio = line.peers.iter().find(|series| series.peer == Peer::Vmlan);
        let second = match ratio.and_then(|series| series.to_bridge) {
            Some(ratio) => format!("{} · vmlan {ratio:.2}×", line.unit.label()),
            None => line.unit.label().to_owned(),
        };
        let label = EmptyElement::at(at)
            + Text::new(first, (0, 8), below(13, &INK))
            + Text::new(second, (0, 26), below(13, &FAINT));
        chart.draw_series([label])?;
    }
    Ok(())
}

/// One bar, in the coordinates of its panel.
struct Bar<'r> {
    series: &'r Series,
    left: f64,
    right: f64,
    middle: f64,
    /// From the least to the greatest; absent on a bar that is cut.
    whisker: Option<(f64, f64)>,
    /// The median itself.
    value: f64,
}

impl Bar<'_> {
    fn center(&self) -> f64 {
        f64::midpoint(self.left, self.right)
    }
}

/// The bars of the group that starts at `x`, cut at `top`.
fn bars(x: f64, line: &Line, base: f64, top: f64) -> impl Iterator<Item = Bar<'_>> {
    let width = FILLED / line.peers.len() as f64;
    let start = x + (1.0 - FILLED) / 2.0;
    line.peers
        .iter()
        .enumerate()
        .filter_map(move |(at, series)| {
            let Summary { median, min, max } = series.summary?;
            let left = start + width * at as f64;
            Some(Bar {
                series,
                left,
                right: left + width * 0.92,
                middle: (median / base).min(top),
                whisker: (median / base <= top)
                    .then_some((min / base, (max / base).min(top * 1.1))),
                value: median,
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Results;
    use crate::bench::result::{Reading, Unit};

    fn report(values: &[(Peer, f64)]) -> Report {
        let mut results = Results::default();
        for (peer, value) in values {
            let mut recorder = results.recorder(WorkName::Vmm, *peer, &|_| {});
            let reading = Reading::new("at overload", *value, Unit::Mpps);
            recorder.case("60 B", || Ok(vec![reading])).unwrap();
        }
        results.finish();
        Report::sample(results)
    }

    #[test]
    fn a_chart_names_switches_values_and_ratios() {
        let svg = svg(&report(&[(Peer::Vmlan, 0.6), (Peer::Bridge, 0.4)])).unwrap();
        for text in [
            "vmlan",
            "Linux bridge",
            "60 B, at overload",
            "0.600",
            "1.50×",
        ] {
            assert!(svg.contains(text), "no {text:?} in {svg}");
        }
        assert!(svg.starts_with("<svg"), "{svg}");
    }

    #[test]
    fn a_bar_far_beyond_the_others_is_cut() {
        let svg = svg(&report(&[(Peer::Vmlan, 500.0), (Peer::Bridge, 1.0)])).unwrap();
        assert!(svg.contains("↑ 500"), "{svg}");
    }

    #[test]
    fn one_switch_alone_makes_no_chart() {
        assert!(svg(&report(&[(Peer::Vmlan, 1.0)])).is_err());
    }
}
