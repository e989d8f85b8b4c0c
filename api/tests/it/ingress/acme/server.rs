//! An ACME server (RFC 8555) that is small and strict: nonces are used once, signatures and addresses are verified, a domain is
//! proved by the DNS records that stand in a file, and certificates are signed for what was asked for and proved.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use api::clock::Clock;
use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use rcgen::{CertificateSigningRequestParams, SanType};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

use super::super::tls::Authority;

pub const CERTIFICATE_DAYS: i64 = 90;

pub struct Server {
    pub address: SocketAddr,
    /// Who signs what it issues.
    pub issuer: Authority,
    clock: Clock,
    began: i64,
    records: PathBuf,
    state: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    nonces: HashSet<String>,
    issued_nonces: usize,
    /// The public key of each account.
    accounts: HashMap<String, Value>,
    orders: Vec<Order>,
}

struct Order {
    account: String,
    name: String,
    status: &'static str,
    problem: Option<Value>,
    chain: Option<String>,
}

type Answer = Result<Response, Refused>;

fn problem(kind: &str, detail: &str) -> Value {
    json!({"type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail, "status": 400})
}

/// Why a request is refused: the kind of problem, and what it is.
struct Refused(&'static str, &'static str);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let kind = [("content-type", "application/problem+json")];
        (StatusCode::BAD_REQUEST, kind, problem(self.0, self.1).to_string()).into_response()
    }
}

fn decode(value: &Value) -> Result<Vec<u8>, Refused> {
    let text = value.as_str().ok_or(Refused("malformed", "a part is missing"))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Refused("malformed", "a part is not base64url"))
}

fn decode_json(value: &Value) -> Result<Value, Refused> {
    serde_json::from_slice(&decode(value)?).map_err(|_| Refused("malformed", "a part is not JSON"))
}

impl Server {
    /// Serves over TLS with a certificate of `root`; `records` has a line `NAME VALUE` for each DNS record.
    pub async fn start(root: &Authority, clock: Clock, records: PathBuf) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (issuer, began) = (Authority::new(), clock.time().unix());
        let server = Arc::new(Self { address, issuer, clock, began, records, state: Mutex::default() });
        let router = Router::new()
            .route("/directory", get(directory))
            .route("/nonce", any(|| async { StatusCode::OK }))
            .route("/account", post(account))
            .route("/order", post(new_order))
            .route("/{what}/{number}", post(known))
            .layer(axum::middleware::map_response_with_state(server.clone(), nonce))
            .with_state(server.clone());
        let acceptor = root.server("127.0.0.1");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(router.clone()));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        server
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    pub fn accounts(&self) -> usize {
        self.state.lock().unwrap().accounts.len()
    }

    pub fn lose_accounts(&self) {
        self.state.lock().unwrap().accounts.clear();
    }

    pub fn issued(&self) -> usize {
        self.state.lock().unwrap().orders.iter().filter(|order| order.chain.is_some()).count()
    }

    /// Verifies a signed request: who sent it, his key, and what it says.
    fn verify(&self, uri: &Uri, body: &[u8]) -> Result<(String, Value, Vec<u8>), Refused> {
        let jws: Value = serde_json::from_slice(body).map_err(|_| Refused("malformed", "it is not JSON"))?;
        let head = decode_json(&jws["protected"])?;
        if head["alg"] != "ES256" || head["url"] != self.url(uri.path()) {
            return Err(Refused("unauthorized", "the algorithm or the address is wrong"));
        }
        let mut state = self.state.lock().unwrap();
        if !head["nonce"].as_str().is_some_and(|nonce| state.nonces.remove(nonce)) {
            return Err(Refused("badNonce", "the nonce is not fresh"));
        }
        let (account, key) = match (&head["kid"], &head["jwk"]) {
            (Value::String(kid), Value::Null) => {
                let key = state.accounts.get(kid).cloned();
                (kid.clone(), key.ok_or(Refused("accountDoesNotExist", "nobody has this account"))?)
            }
            (Value::Null, jwk) if uri.path() == "/account" => (String::new(), jwk.clone()),
            _ => return Err(Refused("malformed", "there must be an account or, for a new one, a key")),
        };
        let point = [vec![4], decode(&key["x"])?, decode(&key["y"])?].concat();
        let part = |name: &str| jws[name].as_str().unwrap_or_default();
        let signed = format!("{}.{}", part("protected"), part("payload"));
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(signed.as_bytes(), &decode(&jws["signature"])?)
            .map_err(|_| Refused("unauthorized", "the signature is wrong"))?;
        drop(state);
        Ok(if account.is_empty() {
            (key.to_string(), key, decode(&jws["payload"])?)
        } else {
            (account, key, decode(&jws["payload"])?)
        })
    }

    fn order(&self, number: usize, order: &Order) -> Value {
        let mut shown = json!({
            "status": order.status,
            "identifiers": [{"type": "dns", "value": order.name}],
            "authorizations": [self.url(&format!("/authorization/{number}"))],
            "finalize": self.url(&format!("/finalize/{number}")),
        });
        if order.chain.is_some() {
            shown["certificate"] = self.url(&format!("/certificate/{number}")).into();
        }
        shown
    }

    fn challenge(&self, number: usize, order: &Order) -> Value {
        let status = match order.status {
            "pending" | "invalid" => order.status,
            _ => "valid",
        };
        let url = self.url(&format!("/challenge/{number}"));
        json!({"type": "dns-01", "status": status, "url": url, "token": token(number), "error": order.problem})
    }

    /// Looks at the DNS records.
    fn look(&self, number: usize, order: &mut Order, key: &Value) {
        let thumb =
            format!(r#"{{"crv":{},"kty":{},"x":{},"y":{}}}"#, key["crv"], key["kty"], key["x"], key["y"]);
        let thumb = URL_SAFE_NO_PAD.encode(Sha256::digest(thumb));
        let value = URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{}.{thumb}", token(number))));
        let wanted = format!("_acme-challenge.{} {value}", order.name.trim_start_matches("*."));
        let records = std::fs::read_to_string(&self.records).unwrap_or_default();
        if records.lines().any(|line| line == wanted) {
            order.status = "ready";
        } else {
            order.status = "invalid";
            order.problem = Some(problem("unauthorized", "there is no such TXT record"));
        }
    }

    /// Signs a request for exactly the name that was proved.
    fn sign(&self, order: &mut Order, request: &[u8]) -> Result<(), Refused> {
        let request = request.to_vec().into();
        let mut request = CertificateSigningRequestParams::from_der(&request)
            .map_err(|_| Refused("badCSR", "the request is not signed or not sound"))?;
        let names = &request.params.subject_alt_names;
        let [SanType::DnsName(name)] = names.as_slice() else { return Err(Refused("badCSR", "one name")) };
        if name.as_str() != order.name {
            return Err(Refused("badCSR", "another name was proved"));
        }
        let at = |unix: i64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(unix.unsigned_abs());
        request.params.not_before = at(self.began - 86_400);
        request.params.not_after = at(self.clock.time().unix() + CERTIFICATE_DAYS * 86_400);
        let certificate = request.signed_by(&self.issuer.0).map_err(|_| Refused("badCSR", "its key"))?;
        order.chain = Some(certificate.pem() + &self.issuer.0.pem());
        order.status = "valid";
        Ok(())
    }
}

fn token(number: usize) -> String {
    format!("token-of-order-{number}-that-nobody-can-guess")
}

async fn directory(State(server): State<Arc<Server>>) -> Json<Value> {
    let [nonce, account, order] = ["/nonce", "/account", "/order"].map(|path| server.url(path));
    Json(json!({"newNonce": nonce, "newAccount": account, "newOrder": order}))
}

/// Every answer has a fresh nonce.
async fn nonce(State(server): State<Arc<Server>>, mut response: Response) -> Response {
    let mut state = server.state.lock().unwrap();
    state.issued_nonces += 1;
    let nonce = format!("nonce-{}", state.issued_nonces);
    response.headers_mut().insert("replay-nonce", nonce.parse().unwrap());
    state.nonces.insert(nonce);
    response
}

fn created(location: String, body: Value) -> Response {
    (StatusCode::CREATED, [("location", location)], Json(body)).into_response()
}

async fn account(State(server): State<Arc<Server>>, uri: Uri, body: Bytes) -> Answer {
    let (_, key, payload) = server.verify(&uri, &body)?;
    let asked: Value = serde_json::from_slice(&payload).unwrap();
    if asked["termsOfServiceAgreed"] != true || asked["contact"] != json!(["mailto:me@berth.test"]) {
        return Err(Refused("malformed", "agree to the terms and say who you are"));
    }
    let mut state = server.state.lock().unwrap();
    let url = server.url(&format!("/account/{}", state.accounts.len()));
    state.accounts.insert(url.clone(), key);
    Ok(created(url, json!({"status": "valid"})))
}

async fn new_order(State(server): State<Arc<Server>>, uri: Uri, body: Bytes) -> Answer {
    let (account, _, payload) = server.verify(&uri, &body)?;
    let asked: Value = serde_json::from_slice(&payload).unwrap();
    let name = asked["identifiers"][0]["value"].as_str().unwrap().to_owned();
    let mut state = server.state.lock().unwrap();
    let number = state.orders.len();
    let order = Order { account, name, status: "pending", problem: None, chain: None };
    let answer = created(server.url(&format!("/order/{number}")), server.order(number, &order));
    state.orders.push(order);
    Ok(answer)
}

async fn known(
    State(server): State<Arc<Server>>,
    Path((what, number)): Path<(String, usize)>,
    uri: Uri,
    body: Bytes,
) -> Answer {
    let (account, key, payload) = server.verify(&uri, &body)?;
    let mut state = server.state.lock().unwrap();
    let order = state.orders.get_mut(number).filter(|order| order.account == account);
    let order = order.ok_or(Refused("unauthorized", "it is not yours"))?;
    match (what.as_str(), order.status) {
        ("order", _) => {}
        ("authorization", status) => {
            let challenge = server.challenge(number, order);
            let status = if status == "pending" { status } else { challenge["status"].as_str().unwrap() };
            let name = order.name.trim_start_matches("*.");
            let identifier = json!({"type": "dns", "value": name});
            let shown = json!({"identifier": identifier, "wildcard": true, "status": status, "challenges": [challenge]});
            return Ok(Json(shown).into_response());
        }
        ("challenge", "pending") if payload == b"{}" => {
            // What is shown is what was before it was looked at, as authorities do.
            let shown = server.challenge(number, order);
            server.look(number, order, &key);
            return Ok(Json(shown).into_response());
        }
        ("finalize", "ready") => {
            let asked: Value = serde_json::from_slice(&payload).unwrap();
            server.sign(order, &decode(&asked["csr"])?)?;
        }
        ("certificate", "valid") => return Ok(order.chain.clone().unwrap().into_response()),
        _ => return Err(Refused("orderNotReady", "not now")),
    }
    Ok(Json(server.order(number, order)).into_response())
}
