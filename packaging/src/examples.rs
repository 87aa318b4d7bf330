//! Examples of the commands, for their man pages.

/// What one does, and the line that does it.
type Example = (&'static str, &'static str);

/// The examples for each page.
pub(crate) const EXAMPLES: &[(&str, &[Example])] = &[
    (
        "vmlan",
        &[
            (
                "Serve the built-in network, now and at boot:",
                "systemctl enable --now vmlan@default",
            ),
            ("See what it is:", "vmlan status"),
            (
                "What to add to qemu's command line for a guest:",
                "vmlan qemu web",
            ),
            ("Who has which address:", "vmlan leases"),
        ],
    ),
    (
        "vmlan-run",
        &[
            (
                "Serve the network lab by /etc/vmlan/lab.toml:",
                "vmlan run --network lab",
            ),
            (
                "Serve it by a file that lies elsewhere:",
                "vmlan run --config lab.toml",
            ),
            (
                "Serve what libvirt describes:",
                "vmlan run --network-xml default.xml",
            ),
        ],
    ),
    (
        "vmlan-check",
        &[(
            "See what network a file makes:",
            "vmlan check /etc/vmlan/lab.toml",
        )],
    ),
    (
        "vmlan-status",
        &[
            ("The network at a glance:", "vmlan status"),
            (
                "Another one, for a program:",
                "vmlan status --network lab --json",
            ),
        ],
    ),
    (
        "vmlan-ports",
        &[("Ports with what they carried and dropped:", "vmlan ports")],
    ),
    (
        "vmlan-port",
        &[(
            "Take eth1 as the port lan0:",
            "vmlan port add lan0 --kind packet interface=eth1",
        )],
    ),
    (
        "vmlan-port-add",
        &[
            ("Have a TAP made:", "vmlan port add c1 --kind tap"),
            (
                "Take an existing netdev:",
                "vmlan port add lan0 --kind packet interface=eth1",
            ),
        ],
    ),
    (
        "vmlan-port-set",
        &[(
            "Serve its clients no DHCP any more:",
            "vmlan port set lan0 dhcp=false",
        )],
    ),
    (
        "vmlan-port-del",
        &[("Delete a port:", "vmlan port del lan0")],
    ),
    (
        "vmlan-attach",
        &[("Take the TAP of a guest:", "vmlan attach vnet0")],
    ),
    ("vmlan-detach", &[("Give it back:", "vmlan detach vnet0")]),
    (
        "vmlan-fdb",
        &[
            ("Which station is behind which port:", "vmlan fdb"),
            ("The same for a program:", "vmlan fdb --json"),
        ],
    ),
    (
        "vmlan-fdb-add",
        &[(
            "Say where a station is:",
            "vmlan fdb add 52:54:00:00:00:01 lan0",
        )],
    ),
    (
        "vmlan-fdb-del",
        &[("Forget it:", "vmlan fdb del 52:54:00:00:00:01")],
    ),
    (
        "vmlan-fdb-flush",
        &[(
            "Forget all that were learned behind a port:",
            "vmlan fdb flush --port lan0",
        )],
    ),
    (
        "vmlan-leases",
        &[("Who has which address:", "vmlan leases")],
    ),
    (
        "vmlan-lease",
        &[("Free an address:", "vmlan lease del 192.168.122.4")],
    ),
    (
        "vmlan-lease-del",
        &[("Free an address:", "vmlan lease del 192.168.122.4")],
    ),
    (
        "vmlan-lease-import",
        &[
            (
                "Take over the leases of dnsmasq:",
                "vmlan lease import /var/lib/misc/dnsmasq.leases",
            ),
            (
                "Those of libvirt's network:",
                "vmlan lease import /var/lib/libvirt/dnsmasq/virbr0.status",
            ),
        ],
    ),
    (
        "vmlan-host",
        &[("The stations that DHCP knows:", "vmlan host")],
    ),
    (
        "vmlan-host-list",
        &[("The stations that DHCP knows:", "vmlan host list")],
    ),
    (
        "vmlan-host-add",
        &[
            (
                "Give a station an address and a name:",
                "vmlan host add 52:54:00:00:00:01 192.168.122.9 db",
            ),
            (
                "Tag all of a maker's:",
                "vmlan host add 52:54:00:*:*:* --set guest",
            ),
        ],
    ),
    ("vmlan-host-del", &[("Forget it:", "vmlan host del db")]),
    (
        "vmlan-qemu",
        &[("What to add to qemu's command line:", "vmlan qemu web")],
    ),
    (
        "vmlan-uplink",
        &[(
            "Put the addresses back on the uplink:",
            "vmlan uplink restore",
        )],
    ),
    (
        "vmlan-uplink-restore",
        &[(
            "Put the addresses back on the uplink:",
            "vmlan uplink restore",
        )],
    ),
    (
        "vmlan-libvirt",
        &[(
            "See what an adoption would do:",
            "vmlan libvirt adopt default --dry-run",
        )],
    ),
    (
        "vmlan-libvirt-adopt",
        &[
            (
                "See what would be done:",
                "vmlan libvirt adopt default --dry-run",
            ),
            ("Do it:", "vmlan libvirt adopt default"),
        ],
    ),
    (
        "vmlan-libvirt-release",
        &[(
            "Give the network back to libvirt:",
            "vmlan libvirt release default",
        )],
    ),
    (
        "vmlan-reload",
        &[(
            "Apply a changed configuration:",
            "vmlan reload --network lab",
        )],
    ),
    (
        "vmlan-cleanup",
        &[(
            "Take away what a network that was killed has left:",
            "vmlan cleanup --network lab",
        )],
    ),
    (
        "vmlan-doctor",
        &[
            ("What keeps guests from the network:", "vmlan doctor"),
            ("Before it is started, for a script:", "vmlan doctor --json"),
        ],
    ),
    (
        "vmlan-bench",
        &[("Measure, and draw a chart:", "vmlan bench --plot chart.svg")],
    ),
    (
        "vmlan-events",
        &[
            ("Watch what happens:", "vmlan events"),
            (
                "What has happened so far, for a program:",
                "vmlan events --history --no-follow --json",
            ),
        ],
    ),
    (
        "vmlan-log",
        &[
            (
                "See what DHCP does in detail, from now on:",
                "vmlan log info,vmlan::daemon::dhcp=debug",
            ),
            ("As before:", "vmlan log info"),
        ],
    ),
    (
        "vmlan-cleanup",
        &[(
            "Take away what a killed vmlan has left:",
            "vmlan cleanup --network lab",
        )],
    ),
    (
        "vmlan-completions",
        &[(
            "Complete vmlan's commands in this bash:",
            "eval \"$(vmlan completions bash)\"",
        )],
    ),
];

/// The examples for the page `name`.
pub(crate) fn of(name: &str) -> &'static [Example] {
    let found = EXAMPLES.iter().find(|(page, _)| *page == name);
    found.map_or(&[], |(_, examples)| examples)
}
