//! Encrypted connections.

use fixtures::postgres::{Options, Server};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::super::PostgresLog;
use crate::{
    log::{EventLog, Expected, contract::append},
    postgres::{Postgres, PostgresError},
};

/// An authority, and the certificate and key that it gave to a host.
fn certified(host: &str) -> (String, (String, String)) {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([host.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    (authority.pem(), (certificate.pem(), key.serialize_pem()))
}

async fn try_open(url: &str) -> Result<PostgresLog, PostgresError> {
    PostgresLog::open(&Postgres::new(url).unwrap()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_reached_over_tls_and_only_the_right_certificate_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str, pem: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, pem).unwrap();
        path.display().to_string()
    };
    let (authority, tls) = certified("127.0.0.1");
    let authority = place("authority.pem", &authority);
    let stranger = place("stranger.pem", &certified("127.0.0.1").0);
    let server = Server::start(Options { tls: Some(tls), ..Options::default() });
    let database = server.fresh();
    let url = database.url();

    let log = try_open(&format!("{url}?sslmode=require")).await.unwrap();
    log.append(append("a", Expected::NoStream, [1])).await.unwrap();
    let encrypted = "select count(*) > 0 and bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid) \
         where application_name = 'berth'";
    assert_eq!(database.sql(encrypted), "t");

    let verified = try_open(&format!("{url}?sslmode=verify-full&sslrootcert={authority}")).await.unwrap();
    assert_eq!(verified.head().await, Ok(Some(0)));
    let refused = try_open(&format!("{url}?sslmode=verify-full&sslrootcert={stranger}")).await.unwrap_err();
    assert!(refused.to_string().contains("certificate"), "{refused}");

    let (authority, tls) = certified("elsewhere.example");
    let authority = place("elsewhere.pem", &authority);
    let server = Server::start(Options { tls: Some(tls), ..Options::default() });
    let url = server.fresh().url();
    let refused = try_open(&format!("{url}?sslmode=verify-full&sslrootcert={authority}")).await.unwrap_err();
    assert!(refused.to_string().contains("certificate"), "{refused}");
}
