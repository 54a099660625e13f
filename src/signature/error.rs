//! Why a text is not a public key.

/// The longest public key that is read, in bytes.
pub const MAX_KEY: usize = 64 * 1024;

/// Why a text is not a key that can verify signatures. No error quotes the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is a private key, which must stay secret.
    #[error("this is a private key, which must not be in a repository; give the public key, and create a new key pair")]
    Private,
    /// The text is longer than [`MAX_KEY`].
    #[error(
        "the key has more than {MAX_KEY} bytes; export it without the signatures of others (gpg --export-options \
         export-minimal)"
    )]
    TooLarge,
    /// The text is neither an SSH key nor an OpenPGP key.
    #[error(
        "this is not a public key: give a line such as `ssh-ed25519 AAAA…` or a block that begins with \
         `-----BEGIN PGP PUBLIC KEY BLOCK-----`"
    )]
    Unreadable,
    /// The kind of key is not trusted or not known.
    #[error("keys of this kind are not accepted; use Ed25519, ECDSA (NIST curves) or RSA")]
    Kind,
    /// The RSA modulus is too short to be safe, or longer than the verifier can use.
    #[error("RSA keys need 2048 to {max} bits; this one has {bits}")]
    Bits {
        /// The size of the key in bits.
        bits: usize,
        /// The largest size that can be used, in bits.
        max: usize,
    },
    /// The block holds several keys.
    #[error("the block holds several keys; give a block of its own for each key")]
    Several,
    /// The primary key has no valid signature of its own on its properties.
    #[error("the OpenPGP key has no self-signature, or only one with SHA-1 or MD5; renew it (gpg --quick-set-expire)")]
    SelfSignature,
    /// Neither the primary key nor a subkey may sign.
    #[error("neither the OpenPGP key nor one of its subkeys may sign")]
    NotForSigning,
}
