internal import CCrypt
internal import Glibc

/// The only place that knows crypt(3): 32 KiB for it to work in, which belong to one thread.
public final class PasswordHasher {
    private let room: UnsafeMutableRawPointer

    public init() {
        room = .allocate(byteCount: Int(cc_room), alignment: 16)
        // As crypt_rn(3) asks for before the first use. It leaves nothing of a password there.
        room.initializeMemory(as: UInt8.self, repeating: 0, count: Int(cc_room))
    }

    deinit { room.deallocate() }

    /// Takes as long as the setting says, and for yescrypt as much memory.
    ///
    /// - Parameters:
    ///   - password: without a NUL, at which crypt(3) would end it. Of bcrypt, 72 bytes count.
    ///   - setting: without a NUL; a hash is one.
    /// - Returns: a hash of the setting's kind, or nil when the setting is none, or memory is short.
    ///
    /// Source: crypt_rn(3).
    func hash(_ password: [UInt8], as setting: [UInt8]) -> [UInt8]? {
        (password + [0]).withUnsafeBytes { password in
            (setting + [0]).withUnsafeBytes { setting in
                let output = crypt_rn(
                    password.baseAddress!.assumingMemoryBound(to: CChar.self),
                    setting.baseAddress!.assumingMemoryBound(to: CChar.self), room, cc_room)
                guard let output else { return nil }
                return [UInt8](UnsafeRawBufferPointer(start: output, count: strlen(output)))
            }
        }
    }
}
