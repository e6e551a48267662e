//! The hash of a server's certificate, to which the proof of a password is tied (`tls-server-end-point`, RFC 5929).
//!
//! The hash function is that of the certificate's signature, so the certificate is read as far as the name of its signature
//! algorithm: `SEQUENCE { tbsCertificate SEQUENCE, signatureAlgorithm SEQUENCE { OBJECT IDENTIFIER, … }, … }`.

use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// DER tags.
const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;

/// Signature algorithms, in the encoding of their object identifiers, without the last byte: RSA with PKCS#1 padding
/// (1.2.840.113549.1.1), ECDSA with SHA-2 (1.2.840.10045.4.3).
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
/// ECDSA with SHA-1 (1.2.840.10045.4.1).
const ECDSA_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01];

/// The hash, or none for a signature without a single hash function (Ed25519) or with parameters (RSA-PSS): then the
/// connection has no channel binding.
pub(super) fn end_point_hash(certificate: &[u8]) -> Option<Vec<u8>> {
    let (certificate_body, _) = element(SEQUENCE, certificate)?;
    let (_, after_body) = element(SEQUENCE, certificate_body)?;
    let (algorithm, _) = element(SEQUENCE, after_body)?;
    let (identifier, _) = element(OBJECT_IDENTIFIER, algorithm)?;
    let (last, family) = identifier.split_last()?;
    match (family, last) {
        // The standard replaces MD5 and SHA-1 by SHA-256.
        (RSA, 4 | 5 | 11) | (ECDSA, 2) => Some(Sha256::digest(certificate).to_vec()),
        _ if identifier == ECDSA_SHA1 => Some(Sha256::digest(certificate).to_vec()),
        (RSA, 12) | (ECDSA, 3) => Some(Sha384::digest(certificate).to_vec()),
        (RSA, 13) | (ECDSA, 4) => Some(Sha512::digest(certificate).to_vec()),
        _ => None,
    }
}

/// The content of the first element, which must have this tag, and what follows the element.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // The number of bytes in which the length is written.
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    (found == tag).then_some((content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate with nothing in it but the identifier of its algorithm.
    fn certificate(identifier: &[u8]) -> Vec<u8> {
        let wrap = |tag: u8, content: &[u8]| {
            let mut der = vec![tag, 0x82];
            der.extend(u16::try_from(content.len()).expect("short").to_be_bytes());
            der.extend(content);
            der
        };
        let algorithm = wrap(SEQUENCE, &wrap(OBJECT_IDENTIFIER, identifier));
        let body = wrap(SEQUENCE, &[0; 300]);
        wrap(SEQUENCE, &[body, algorithm, vec![3, 1, 0]].concat())
    }

    fn hash_of(family: &[u8], last: u8) -> Option<usize> {
        let certificate = certificate(&[family, &[last]].concat());
        end_point_hash(&certificate).map(|hash| hash.len())
    }

    #[test]
    fn the_hash_function_is_that_of_the_signature() {
        for (family, last, bytes) in [
            (RSA, 4, Some(32)),
            (RSA, 5, Some(32)),
            (RSA, 11, Some(32)),
            (RSA, 12, Some(48)),
            (RSA, 13, Some(64)),
            (RSA, 10, None),
            (ECDSA, 2, Some(32)),
            (ECDSA, 3, Some(48)),
            (ECDSA, 4, Some(64)),
            (&ECDSA_SHA1[..6], 1, Some(32)),
            // Ed25519.
            (&[0x2b, 0x65][..], 0x70, None),
        ] {
            assert_eq!(hash_of(family, last), bytes, "{family:?} {last}");
        }
    }

    #[test]
    fn bytes_that_are_no_certificate_have_no_hash() {
        let whole = certificate(&[RSA, &[11]].concat());
        assert_eq!(end_point_hash(&whole), Some(Sha256::digest(&whole).to_vec()));
        for end in 0..whole.len() {
            assert_eq!(end_point_hash(&whole[..end]), None, "{end} bytes");
        }
        assert_eq!(end_point_hash(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0x30]), None);
        assert_eq!(end_point_hash(&[0x30, 0x85, 0, 0, 0, 0, 1, 0x30]), None);
    }
}
