import Foundation

/// A real sshd on a high port of a namespace, with keys made for the occasion.
struct SecureShell {
    private static let port = 2222
    private let scratch: ScratchDirectory
    private let user: String

    /// In a user namespace that knows root alone sshd cannot become anybody. There it runs as an ordinary user, in a namespace further in.
    static let onlyRootExists =
        (try? String(contentsOfFile: "/proc/self/uid_map", encoding: .utf8))?.split(whereSeparator: \.isWhitespace).last == "1"

    init(on namespace: Namespace) throws {
        scratch = namespace.scratch
        user = Self.onlyRootExists ? "guest" : "root"
        for key in ["host", "user"] {
            try namespace.require(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", scratch.file("ssh-\(key)")])
        }
        // sshd gives up root in a directory that the distribution makes when its service starts.
        try FileManager.default.createDirectory(atPath: "/run/sshd", withIntermediateDirectories: true)
        let configuration = try scratch.write(
            """
            Port \(Self.port)
            HostKey \(scratch.file("ssh-host"))
            AuthorizedKeysFile \(scratch.file("ssh-user.pub"))
            PasswordAuthentication no
            PermitRootLogin yes
            StrictModes no
            UsePAM no
            UseDNS no
            PidFile none
            """, to: "sshd.conf")
        var wrapper: [String] = []
        if Self.onlyRootExists {
            let accounts = try scratch.write("guest:x:1000:1000::\(scratch.path):/bin/sh\n", to: "passwd", mode: 0o644)
            let enter = #"mount --bind "$0" /etc/passwd && exec unshare --user --map-user=1000 --map-group=1000 "$@""#
            wrapper = ["sh", "-c", enter, accounts]
        }
        _ = try namespace.start(wrapper + ["/usr/sbin/sshd", "-D", "-e", "-f", configuration])
        try namespace.waitUntilListening(on: Self.port)
    }

    /// Logs in and runs `cat` there: what is said comes back.
    ///
    /// - Parameters:
    ///   - options: further arguments of `ssh`.
    ///   - wrapper: a program with its arguments that starts it.
    func open(
        from namespace: Namespace, to address: String, options: [String] = [], wrapper: [String] = []
    ) throws -> Session {
        let input = Pipe()
        _ = fcntl(input.fileHandleForWriting.fileDescriptor, F_SETFD, FD_CLOEXEC)
        let program = try namespace.start(
            wrapper + [
                "ssh", "-T", "-p", "\(Self.port)", "-i", scratch.file("ssh-user"), "-o", "IdentitiesOnly=yes", "-o",
                "BatchMode=yes", "-o",
                "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-F", "none",
            ] + options + ["\(user)@\(address)", "cat"], input: input.fileHandleForReading.fileDescriptor)
        return Session(program: program, input: input)
    }

    struct Session {
        let program: Program
        let input: Pipe

        /// Sends a line and waits until it has come back.
        func say(_ line: String) throws {
            input.fileHandleForWriting.write(Data("\(line)\n".utf8))
            try waitUntil("\"\(line)\" back over SSH") {
                guard program.isRunning else { throw SituationError("ssh ended: \(program.standardError)") }
                return program.standardOutput.contains("\(line)\n")
            }
        }
    }
}
