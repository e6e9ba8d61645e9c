internal import COpenSSL
public import TransparentSockets

/// Which servers are believed to be who they should be.
public enum Trust: Sendable, Equatable {
    /// Those with a certificate for their name or address, by an authority that this system trusts.
    case system
    /// ... by one of these authorities, and no other.
    case authorities(Authorities)
    /// All: the connection is encrypted, to whomever.
    case anybody
}

/// Certificates of authorities.
public struct Authorities: Sendable, Equatable {
    public let count: Int
    let pem: [UInt8]

    /// - Parameter pem: one certificate or several, in text between BEGIN and END; anything around them counts for nothing.
    /// - Throws: none is there, or one is broken.
    public init(pem: [UInt8]) throws(TLSError) {
        self.pem = pem
        var count = 0
        try Self.forEach(pem) { _ in count += 1 }
        guard count > 0 else { throw TLSError("there is no certificate in it") }
        self.count = count
    }

    public static func == (one: Authorities, other: Authorities) -> Bool { one.pem == other.pem }

    /// - Parameter body: gets an `X509`, which lives as long as the call.
    static func forEach(_ pem: [UInt8], _ body: (OpaquePointer) -> Void) throws(TLSError) {
        ERR_clear_error()
        guard pem.count <= Int(Int32.max), let bio = BIO_new(BIO_s_mem()) else { throw TLSError("out of memory") }
        defer { BIO_free(bio) }
        _ = BIO_write(bio, pem, Int32(pem.count))
        while let certificate = PEM_read_bio_X509(bio, nil, nil, nil) {
            body(certificate)
            X509_free(certificate)
        }
        // The way in which it says that there are no more.
        let error = ERR_peek_last_error()
        guard co_is_end_of_pem(error) == 1 else { throw TLSError("a certificate in it is broken: \(TLSError.text(of: error))") }
        ERR_clear_error()
    }
}

/// Whom a certificate must be for.
public enum ServerName: Sendable, Equatable {
    /// Told to the server as well.
    case name(String)
    case address(IPAddress)
}

public struct TLSError: Error, Sendable, Equatable, CustomStringConvertible {
    public let description: String
    init(_ description: String) { self.description = description }

    /// In the words of OpenSSL.
    static func text(of error: UInt) -> String {
        ERR_reason_error_string(error).map { String(cString: $0) } ?? "error \(String(error, radix: 16))"
    }
}
