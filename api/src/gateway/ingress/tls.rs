//! One visitor's connection that TLS is spoken on.
//!
//! # Shape
//! The name is read from the ClientHello. A device that offers port 443 ends TLS itself: it gets every byte, also those
//! already read, and its visitor sees its certificate. For others, TLS is ended here if there is a certificate, and HTTP
//! goes on to port 80; whoever cannot be served gets an alert.

use std::{net::SocketAddr, sync::Arc};

use tokio::{io::AsyncWriteExt, time::timeout};
use tokio_rustls::TlsAcceptor;

use super::{
    Service,
    headers::Scheme,
    hello::{self, Hello, INTERNAL_ERROR, UNRECOGNIZED_NAME},
    host, http,
    hub::{Hub, Origin, Termination},
    proxy,
    routes::{Dial, Found},
    settings::seconds,
    socket::Socket,
    stream::{Ends, Pulse, Replay, Watched, splice},
};

/// Serves a connection until it ends.
pub(super) async fn serve(hub: Arc<Hub>, mut stream: Socket, visitor: SocketAddr, local: SocketAddr) {
    let handshake = seconds(hub.settings.handshake_s);
    let Hello { name, bytes } = match timeout(handshake, hello::read(&mut stream)).await {
        Ok(Ok(hello)) => hello,
        Ok(Err(alert)) => return refuse(stream, &alert).await,
        Err(_) => return,
    };
    let Some(subdomain) = name.and_then(|name| host::subdomain(&name, &hub.settings.domain)) else {
        return refuse(stream, &UNRECOGNIZED_NAME).await;
    };
    let found = hub.routes.find(&subdomain, Service::Https);
    match (found, &hub.termination) {
        (Found::Here(dial), _) => pass(&hub, Replay::new(bytes, stream), &*dial, visitor, local).await,
        (Found::Unknown, _) => refuse(stream, &UNRECOGNIZED_NAME).await,
        (_, Some(Termination { certificate, config })) if certificate.is_there() => {
            let socket = stream.clone();
            let acceptor = TlsAcceptor::from(config.clone());
            let accepted = timeout(handshake, acceptor.accept(Replay::new(bytes, stream))).await;
            if let Ok(Ok(stream)) = accepted {
                let from = Origin { visitor, scheme: Scheme::Https, sni: Some(subdomain) };
                http::serve(hub, stream, socket, from).await;
            }
        }
        (Found::Away, _) => refuse(stream, &INTERNAL_ERROR).await,
        _ => refuse(stream, &UNRECOGNIZED_NAME).await,
    }
}

/// Passes everything to the device.
async fn pass(hub: &Hub, stream: Replay<Socket>, dial: &dyn Dial, visitor: SocketAddr, local: SocketAddr) {
    let (pulse, socket) = (Pulse::new(), stream.get_ref().clone());
    let ends = Ends {
        ended: dial.ended(),
        kill: hub.kill.clone(),
        pulse: pulse.clone(),
        idle: hub.settings.idle(),
        socket,
    };
    let opening = async {
        let mut device = dial.open(visitor).await?;
        if let Some(version) = hub.settings.send_proxy.version() {
            device.write_all(&proxy::header(version, visitor, local)).await?;
        }
        std::io::Result::Ok(device)
    };
    let opened = tokio::select! {
        opened = timeout(seconds(hub.settings.connect_s), opening) => opened,
        () = ends.reached() => return,
    };
    let Ok(Ok(device)) = opened else {
        return refuse(stream.into_inner(), &INTERNAL_ERROR).await;
    };
    splice(Watched::new(stream, pulse), device, &ends).await;
}

/// Closes a connection with an alert.
async fn refuse(mut stream: Socket, alert: &[u8]) {
    // So few bytes need no waiting; whoever does not take them does not need them.
    let _ = stream.write_all(alert).await;
    let _ = stream.shutdown().await;
}
