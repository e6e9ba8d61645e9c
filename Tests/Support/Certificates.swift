import Foundation

/// Certificates of a test's own, made by `openssl` in a directory that is the test's.
public struct Certificates: Sendable {
    public let directory: String

    public init(in directory: String) { self.directory = directory }

    /// Of a server, or of an authority: paths of PEM files.
    public struct Certificate: Sendable {
        public let file: String
        public let key: String
    }

    /// An authority that trusts itself.
    public func authority(_ name: String = "authority") throws -> Certificate {
        try make(name, ["-subj", "/CN=\(name)"])
    }

    /// - Parameter names: as `openssl` has them: `DNS:proxy.test,IP:192.0.2.1`.
    public func server(_ name: String = "server", names: String, by authority: Certificate) throws -> Certificate {
        try make(
            name,
            [
                "-CA", authority.file, "-CAkey", authority.key, "-subj", "/CN=\(name)", "-addext", "subjectAltName=\(names)",
                "-addext", "basicConstraints=critical,CA:FALSE",
            ])
    }

    /// One like another, but good until yesterday only.
    public func expired(_ name: String, like server: Certificate, by authority: Certificate) throws -> Certificate {
        let certificate = Certificate(file: "\(directory)/\(name).pem", key: server.key)
        let (request, copies) = ("\(directory)/\(name).csr", ["-copy_extensions", "copy"])
        try run(["x509", "-x509toreq", "-in", server.file, "-signkey", server.key, "-out", request] + copies)
        try run(
            [
                "x509", "-req", "-in", request, "-out", certificate.file, "-days", "-1", "-CA", authority.file, "-CAkey",
                authority.key,
            ]
                + copies)
        return certificate
    }

    private func make(_ name: String, _ more: [String]) throws -> Certificate {
        let certificate = Certificate(file: "\(directory)/\(name).pem", key: "\(directory)/\(name).key")
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", certificate.key]
        try run(["req", "-x509", "-days", "3650", "-out", certificate.file] + key + more)
        return certificate
    }

    private func run(_ arguments: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["openssl"] + arguments
        let said = Pipe()
        process.standardError = said
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let errors = try said.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw Failure(description: String(decoding: errors, as: UTF8.self)) }
    }

    private struct Failure: Error, CustomStringConvertible { let description: String }
}

/// An authority's certificate that is good until 2126.
public let authorityPEM = """
    -----BEGIN CERTIFICATE-----
    MIIBhTCCASugAwIBAgIUAunM7+Jw0PR5puZKv3XCSWv0aSswCgYIKoZIzj0EAwIw
    FzEVMBMGA1UEAwwMQW4gYXV0aG9yaXR5MCAXDTI2MTEyMjAwMDQxMVoYDzIxMjYx
    MDI5MDAwNDExWjAXMRUwEwYDVQQDDAxBbiBhdXRob3JpdHkwWTATBgcqhkjOPQIB
    BggqhkjOPQMBBwNCAAQgKTX+ysq8Gy8PoIep1BAtrreDocMayiHT7c5l/OwI8y7s
    SXYo+zaUoJDEk1ESXHEP4MDPpVRpWSAjA2mrfiTIo1MwUTAdBgNVHQ4EFgQU3E23
    jQ1jdi8a29+zGLcljdroD0AwHwYDVR0jBBgwFoAU3E23jQ1jdi8a29+zGLcljdro
    D0AwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiANWI45cnKqlJQX
    nZ/4UY8DuLM412M42k348NbuLDdITAIhAIOxl0jDviDGWoAP7VzfHGD4ekWqQkOx
    HnqF+GlsS+D+
    -----END CERTIFICATE-----

    """
