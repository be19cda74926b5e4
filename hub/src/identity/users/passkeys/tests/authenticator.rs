//! A simulated authenticator: it makes key pairs and signs as a phone or a
//! security key would, and says whatever a test wants it to.

use data_encoding::BASE64URL_NOPAD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

/// Somebody touched it.
pub const PRESENT: u8 = 1;
/// It verified who did.
pub const VERIFIED: u8 = 4;
const HAS_CREDENTIAL: u8 = 64;

/// Where a browser is and what it says there.
#[derive(Clone, Debug)]
pub struct Scene {
    pub origin: &'static str,
    pub rp_id: &'static str,
    pub flags: u8,
}

/// As it should be.
pub const GOOD: Scene = Scene { origin: "https://hub.example:8443", rp_id: "hub.example", flags: PRESENT | VERIFIED };

/// One key pair.
pub struct Authenticator {
    key: EcdsaKeyPair,
    id: Vec<u8>,
    handle: Vec<u8>,
}

impl Authenticator {
    /// Makes a key pair for what the hub asked; gives what the browser sends.
    pub fn make(begun: &Value, scene: &Scene) -> (Self, Value) {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref(), &random).unwrap();
        let id = digest(&SHA256, key.public_key().as_ref()).as_ref().to_vec();
        let handle = BASE64URL_NOPAD.decode(begun["user_handle"].as_str().unwrap().as_bytes()).unwrap();
        let made = Self { key, id, handle };
        let credential = made.attest(begun["challenge"].as_str().unwrap(), scene);
        (made, credential)
    }

    /// What the browser sends of the key pair.
    pub fn attest(&self, challenge: &str, scene: &Scene) -> Value {
        let mut data = authenticator_data(scene, scene.flags | HAS_CREDENTIAL, 0);
        data.extend([0; 16]);
        data.extend(u16::try_from(self.id.len()).unwrap().to_be_bytes());
        data.extend(&self.id);
        let public_key = self.key.public_key().as_ref();
        // A COSE key: EC2, ES256, P-256, x, y.
        data.extend([0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32]);
        data.extend(&public_key[1..33]);
        data.extend([0x22, 0x58, 32]);
        data.extend(&public_key[33..65]);
        let mut object = vec![0xa3, 0x63];
        object.extend(b"fmt\x64none\x67attStmt\xa0\x68authData\x58");
        object.push(u8::try_from(data.len()).unwrap());
        object.extend(data);
        json!({
            "client_data_json": BASE64URL_NOPAD.encode(&client_data("webauthn.create", challenge, scene)),
            "attestation_object": BASE64URL_NOPAD.encode(&object),
            "transports": ["internal"],
        })
    }

    /// Signs a challenge; gives what the browser sends.
    pub fn answer(&self, challenge: &str, count: u32, scene: &Scene) -> Value {
        let client_data = client_data("webauthn.get", challenge, scene);
        let data = authenticator_data(scene, scene.flags, count);
        let mut signed = data.clone();
        signed.extend(digest(&SHA256, &client_data).as_ref());
        let signature = self.key.sign(&SystemRandom::new(), &signed).unwrap();
        json!({
            "id": BASE64URL_NOPAD.encode(&self.id),
            "client_data_json": BASE64URL_NOPAD.encode(&client_data),
            "authenticator_data": BASE64URL_NOPAD.encode(&data),
            "signature": BASE64URL_NOPAD.encode(signature.as_ref()),
            "user_handle": BASE64URL_NOPAD.encode(&self.handle),
        })
    }

    /// As if it were of the user of another.
    pub fn posing_as(self, other: &Self) -> Self {
        Self { handle: other.handle.clone(), ..self }
    }
}

fn client_data(what: &str, challenge: &str, scene: &Scene) -> Vec<u8> {
    format!(r#"{{"type":"{what}","challenge":"{challenge}","origin":"{}","crossOrigin":false}}"#, scene.origin).into()
}

fn authenticator_data(scene: &Scene, flags: u8, count: u32) -> Vec<u8> {
    let mut data = digest(&SHA256, scene.rp_id.as_bytes()).as_ref().to_vec();
    data.push(flags);
    data.extend(count.to_be_bytes());
    data
}
