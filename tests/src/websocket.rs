//! A client of WebSockets, of which the tests see each message.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderName;

pub use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};

use crate::soon;

/// An open connection.
pub struct WebSocket(WebSocketStream<TcpStream>);

impl WebSocket {
    /// Opens one; an error is the status that it was refused with.
    pub async fn open(
        address: SocketAddr,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, u16> {
        use tokio_tungstenite::tungstenite::Error;
        let mut request = format!("ws://{address}{path}").into_client_request().expect("an address");
        for (name, value) in headers {
            request.headers_mut().insert(HeaderName::from_static(name), value.parse().expect("a header"));
        }
        let stream = TcpStream::connect(address).await.expect("connects");
        match soon("the handshake", tokio_tungstenite::client_async(request, stream)).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Sends a message.
    pub async fn send(&mut self, message: impl Into<Message>) {
        soon("sending", self.0.send(message.into())).await.expect("a living connection");
    }

    /// The next message; none when the connection is over.
    pub async fn next(&mut self) -> Option<Message> {
        soon("a message", self.0.next()).await?.ok()
    }

    /// The next message that says something; else the code with which the host closes.
    pub async fn said(&mut self) -> Result<Value, u16> {
        loop {
            match self.next().await.expect("it is closed in order") {
                Message::Text(text) => return Ok(serde_json::from_str(&text).expect("JSON")),
                Message::Close(frame) => return Err(frame.expect("a code").code.into()),
                _ => {}
            }
        }
    }

    /// All that is said, and the code with which the host closes.
    pub async fn rest(&mut self) -> (Vec<Value>, u16) {
        let mut said = Vec::new();
        loop {
            match self.said().await {
                Ok(message) => said.push(message),
                Err(code) => return (said, code),
            }
        }
    }

    /// The next message of a type.
    pub async fn until(&mut self, name: &str) -> Value {
        loop {
            let message = self.said().await.expect("more messages");
            if message["type"] == name {
                return message;
            }
        }
    }
}
