internal import COpenSSL

/// Stands for a name and a password without holding them: HMAC-SHA-256 of both, under a key that nobody else has.
///
/// Without the key, digests cannot be chosen to be alike in their first bytes. So they may be compared, and looked up in
/// dictionaries, like any other value: the time that takes says nothing about the password.
public struct LoginDigest: Hashable, Sendable {
    private let words: SIMD4<UInt64>

    /// 32 random bytes, from the kernel.
    public struct Key: Sendable {
        fileprivate let words: [UInt64]

        public init() {
            var generator = SystemRandomNumberGenerator()
            words = (0..<4).map { _ in generator.next() }
        }
    }

    /// - Returns: nil when the name is longer than 255 bytes, or OpenSSL refuses to calculate (for lack of memory).
    ///
    /// Source: HMAC(3ssl).
    public init?(name: [UInt8], password: [UInt8], under key: Key) {
        // The length says where the name ends and the password begins.
        guard let length = UInt8(exactly: name.count) else { return nil }
        let message = [length] + name + password
        var words = SIMD4<UInt64>()
        let isDone = withUnsafeMutableBytes(of: &words) { output in
            key.words.withUnsafeBytes { key in
                HMAC(
                    EVP_sha256(), key.baseAddress, Int32(key.count), message, message.count,
                    output.baseAddress?.assumingMemoryBound(to: UInt8.self), nil) != nil
            }
        }
        guard isDone else { return nil }
        self.words = words
    }
}
