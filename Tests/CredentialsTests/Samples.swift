@testable import Credentials

/// Hashes of `secret` and of the empty password, by openssl-passwd(1) and crypt(3).
enum Sample {
    static let yescrypt = "$y$j75$abcdefgh$uMUXG79B2cFpoAYyDccUnsaH/aGTyBYMlnQidzyag01"
    static let bcrypt = "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"
    static let bcryptOfApache = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"
    static let sha512 = "$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1"
    static let sha256 = "$5$pepper$2pAgbGpQiykh.M/nsGW0.I7Vms31DG4rMmvJxdszg10"
    static let sha512InRounds =
        "$6$rounds=1000$abcdefgh$nhYjN017qxiYztzyUpZtPnUQcnLy62KsunSLHNeLahp2EHPlAKmFFlrjEwSXGo2kgY5hR2.peKEg2VGUqIJJu1"
    static let sha256InRounds = "$5$rounds=1000$abcdefgh$XIppta5rT8zJUu4vAOKQXrwq9uY4Ijlz6VjyOmkx5i4"
    static let all = [yescrypt, bcrypt, bcryptOfApache, sha512, sha256, sha512InRounds, sha256InRounds]

    static let ofNothing = [
        "$y$j75$abcdefgh$dnXG1KuMBmwYrnuKh9nriQRakI62k6mwFrGgxhxYD/2",
        "$2b$04$abcdefghijklmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq",
    ]

    /// What a file of these bytes holds, and its findings as `LINE:COLUMN: MESSAGE`.
    static func read(_ bytes: [UInt8]) -> (users: UserTable, findings: [String]) {
        var findings: [String] = []
        let users = UserFile.users(in: bytes) { findings.append("\($0.line):\($0.column): \($0.message)") }
        return (users, findings)
    }

    static func read(_ text: String) -> (users: UserTable, findings: [String]) { read(Array(text.utf8)) }
}
