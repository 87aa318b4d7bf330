//! Answers that do not end by themselves: lines, each handled as it comes.

use super::{Client, ClientError};
use crate::model::ApiError;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::{Method, Response};
use std::ops::ControlFlow;

/// The longest line in bytes.
const MAX_LINE: usize = 1 << 20;

impl Client {
    /// Reads what is at `path` line by line, without any limit in time, until
    /// `line` wants no more or there are none: it may well have ended in the
    /// middle then, as the process was killed that gave it.
    ///
    /// # Errors
    /// There is no answer, it is an error, or it is of no use; `line` says why.
    pub fn lines(
        &self,
        path: &str,
        mut line: impl FnMut(&[u8]) -> Result<ControlFlow<()>, String>,
    ) -> Result<(), ClientError> {
        self.block_on(async {
            let (mut sender, connection) = self.connect().await?;
            let request = self.prepare(&Method::GET, path, None)?;
            let read = async {
                let response = sender.send_request(request).await;
                let response = response.map_err(|error| self.answer(error))?;
                self.read_lines(response, &mut line).await
            };
            tokio::pin!(connection, read);
            tokio::select! {
                biased;
                read = &mut read => read,
                // What has come by then is still to be read.
                _ = &mut connection => read.await,
            }
        })?
    }

    async fn read_lines(
        &self,
        response: Response<Incoming>,
        line: &mut impl FnMut(&[u8]) -> Result<ControlFlow<()>, String>,
    ) -> Result<(), ClientError> {
        let status = response.status();
        let mut body = response.into_body();
        if !status.is_success() {
            let body = Limited::new(body, MAX_LINE).collect().await;
            let body = body.map_err(|error| self.answer(error))?.to_bytes();
            let error: ApiError = serde_json::from_slice(&body)
                .map_err(|_| self.answer(format!("HTTP status {status}")))?;
            return Err(error.into());
        }
        let mut pending: Vec<u8> = Vec::new();
        // An error is the end of the connection, as its other end was killed.
        while let Some(Ok(frame)) = body.frame().await {
            pending.extend(frame.into_data().unwrap_or_default());
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let whole: Vec<u8> = pending.drain(..=end).collect();
                let text = whole.strip_suffix(b"\n").unwrap_or(&whole);
                if line(text).map_err(|what| self.answer(what))?.is_break() {
                    return Ok(());
                }
            }
            if pending.len() > MAX_LINE {
                return Err(self.answer(format!("a line is over {MAX_LINE} bytes long")));
            }
        }
        Ok(())
    }
}
