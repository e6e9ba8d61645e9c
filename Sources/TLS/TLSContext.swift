internal import COpenSSL
internal import Glibc
internal import Synchronization
internal import TransparentSockets

/// What all connections to one TLS server have in common: whom to believe, and how to be recognised by it the next time.
/// May be used from any thread.
public final class TLSContext: @unchecked Sendable {
    let context: OpaquePointer
    let server: ServerName
    let trust: Trust
    /// What the server gave last, to spare both sides most of the next handshake (RFC 8446 §2.2).
    private let session = Mutex(Handle(raw: nil))
    private struct Handle: @unchecked Sendable { var raw: OpaquePointer? }
    /// Monotonic nanoseconds of the last handshake in which the server's certificate was looked at.
    private let verifiedAt = Atomic<UInt64>(0)
    /// Nanoseconds for which a server is believed without another look, since a session that is taken up shows no certificate: one that has
    /// expired or was replaced by somebody else's must be noticed, however busy the proxy is.
    private static let longestBelief: UInt64 = 600_000_000_000

    static let nesting = Nesting(method: co_nested_method())
    struct Nesting: @unchecked Sendable { let method: OpaquePointer? }

    /// The kernel can encrypt, so that bytes need not enter user space.
    static let usesKernel = co_kernel_has_tls() == 1

    /// TLS 1.2 or later, with what the system's OpenSSL is configured for.
    ///
    /// A program that uses it ignores SIGPIPE: OpenSSL writes to sockets that may be broken.
    public init(_ server: ServerName, _ trust: Trust) throws(TLSError) {
        ERR_clear_error()
        guard let context = SSL_CTX_new(TLS_client_method()) else {
            throw TLSError("OpenSSL: \(TLSError.text(of: ERR_peek_last_error()))")
        }
        self.context = context
        self.server = server
        self.trust = trust
        _ = co_set_minimum_version(context, TLS1_2_VERSION)
        SSL_CTX_set_options(context, co_no_renegotiation)
        co_set_modes(context)
        co_watch_messages(context)
        co_read_ahead(context)
        SSL_CTX_set_verify(context, trust == .anybody ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, nil)
        switch trust {
        case .system: SSL_CTX_set_default_verify_paths(context)
        case .authorities(let authorities):
            try Authorities.forEach(authorities.pem) { _ = X509_STORE_add_cert(SSL_CTX_get_cert_store(context), $0) }
            // Whoever names a certificate believes it, also one that is no authority of its own.
            X509_STORE_set_flags(SSL_CTX_get_cert_store(context), UInt(X509_V_FLAG_PARTIAL_CHAIN))
        case .anybody: break
        }
        co_set_owner(context, Unmanaged.passUnretained(self).toOpaque())
        co_cache_sessions_outside(context)
        SSL_CTX_sess_set_new_cb(context) { ssl, session in
            guard let context = SSL_get_SSL_CTX(ssl), let owner = co_owner(context) else { return 0 }
            Unmanaged<TLSContext>.fromOpaque(owner).takeUnretainedValue().remember(session)
            return 1
        }
    }

    deinit {
        session.withLock { SSL_SESSION_free($0.raw) }
        SSL_CTX_free(context)
    }

    func forgetSession() { remember(nil) }
    func verified() { verifiedAt.store(co_monotonic_nanoseconds(), ordering: .relaxed) }

    private func remember(_ raw: OpaquePointer?) {
        let new = Handle(raw: raw)
        let old = session.withLock { session in
            defer { session = new }
            return session
        }
        SSL_SESSION_free(old.raw)
    }

    /// An `SSL` that is to be connected to the server, and is the caller's.
    func connection() throws(TLSError) -> OpaquePointer {
        ERR_clear_error()
        guard let ssl = SSL_new(context) else { throw TLSError("OpenSSL: \(TLSError.text(of: ERR_peek_last_error()))") }
        var isSet: Int32 = 1
        switch server {
        case .name(let name):
            isSet = co_set_server_name(ssl, name)
            SSL_set_hostflags(ssl, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT))
            if isSet == 1 { isSet = SSL_set1_host(ssl, name) }
        case .address(let address):
            isSet = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), "\(address)")
        }
        guard isSet == 1 else {
            SSL_free(ssl)
            throw TLSError("\(server) cannot be the name of a TLS server")
        }
        let connection = Handle(raw: ssl)
        let isBelieved = co_monotonic_nanoseconds() &- verifiedAt.load(ordering: .relaxed) < Self.longestBelief
        if isBelieved { session.withLock { if $0.raw != nil { SSL_set_session(connection.raw, $0.raw) } } }
        SSL_set_connect_state(ssl)
        return ssl
    }
}
