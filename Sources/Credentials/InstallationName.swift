internal import COpenSSL

/// What this installation is called where others read it, such as in HTTP's Via: the same at each start, unlike any other's, and telling
/// nothing of the host.
///
/// - Parameter identity: what the installation alone knows, such as its machine-id(5), which is not to be shown to others.
/// - Returns: `clearway-` and twelve hexadecimal digits; nil when OpenSSL refuses to calculate (for lack of memory).
///
/// Source: HMAC(3ssl).
public func installationName(_ identity: [UInt8]) -> String? {
    let purpose = Array("clearway: name in Via".utf8)
    var digest = [UInt8](repeating: 0, count: 32)
    guard HMAC(EVP_sha256(), identity, Int32(clamping: identity.count), purpose, purpose.count, &digest, nil) != nil else {
        return nil
    }
    let digits = digest.prefix(6).flatMap { [$0 >> 4, $0 & 15] }.map { Array("0123456789abcdef")[Int($0)] }
    return "clearway-\(String(digits))"
}
