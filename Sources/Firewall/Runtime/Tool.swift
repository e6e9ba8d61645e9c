internal import CSockets
internal import Glibc
package import TransparentSockets

/// A program we call, found once.
public struct Tool: Sendable {
    let name: String
    public let path: String

    public struct Finished {
        /// There was more than is gathered.
        public var isCut: Bool
        /// The exit code, or 128 and the signal.
        public var status: Int32
        public var output: String
        public var errors: String
        /// The first line of what the program complained of.
        public var complaint: String { errors.split(separator: "\n").first.map(String.init) ?? "exit status \(status)" }
    }

    /// Looks in PATH and in the system directories that an ordinary user's PATH lacks. PATH does not count for a program that has its
    /// capabilities from its file: whoever may run it would say what it runs with them.
    public static func find(_ name: String) throws(FirewallError) -> Tool {
        let path = cs_is_secure_execution() != 0 ? "" : getenv("PATH").map { String(cString: $0) } ?? ""
        let folders = path.split(separator: ":").map(String.init) + ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"]
        for folder in folders where folder.hasPrefix("/") {
            let candidate = "\(folder)/\(name)"
            if access(candidate, X_OK) == 0 { return Tool(name: name, path: candidate) }
        }
        let package = name == "nft" ? "nftables" : "iproute2"
        throw FirewallError(.missingProgram, "the program \"\(name)\" is not installed: apt-get install \(package)")
    }

    private static let mostGathered = 262_144

    /// Nanoseconds. On a host that is busy, as many are when everything starts, nft takes its time.
    static let patience: UInt64 = 30_000_000_000

    /// Runs to the end and gathers at most 256 KiB of each stream; what takes longer than ``patience`` is killed.
    public func run(_ arguments: [String], input: String = "") throws(FirewallError) -> Finished {
        let text = try memoryFile(input)
        let output = try Pipe()
        let errors = try Pipe()
        let pid = try spawn(arguments, descriptors: [text.raw, output.writer.raw, errors.writer.raw])
        // Our writing ends are closed here, or the streams would never end.
        let outputReader = output.keepReader()
        let errorsReader = errors.keepReader()
        let deadline = cs_monotonic_nanoseconds() + Self.patience
        var streams = [
            pollfd(fd: outputReader.raw, events: Int16(POLLIN), revents: 0),
            pollfd(fd: errorsReader.raw, events: Int16(POLLIN), revents: 0),
        ]
        var gathered: [[UInt8]] = [[], []]
        var isCut = false
        var late = false
        while streams.contains(where: { $0.fd >= 0 }) {
            let now = cs_monotonic_nanoseconds()
            guard now < deadline else {
                late = true
                kill(pid, SIGKILL)
                break
            }
            poll(&streams, 2, Int32((deadline - now) / 1_000_000 + 1))
            for index in 0..<2 where streams[index].fd >= 0 && streams[index].revents != 0 {
                if let bytes = readSome(streams[index].fd) {
                    let room = Self.mostGathered - gathered[index].count
                    if bytes.count > room { isCut = true }
                    gathered[index] += bytes.prefix(room)
                } else {
                    streams[index].fd = -1
                }
            }
        }
        let status = reap(pid)
        if late { throw FirewallError(.system, "\(name) did not end within \(Self.patience / 1_000_000_000) seconds") }
        return Finished(
            isCut: isCut, status: status, output: String(decoding: gathered[0], as: UTF8.self),
            errors: String(decoding: gathered[1], as: UTF8.self))
    }

    /// Starts the program in the network namespace of the calling thread, in a process group of its own (Ctrl-C is meant for
    /// us), with no signal blocked or ignored, and with no descriptor but these, numbered from 0.
    func spawn(_ arguments: [String], descriptors: [Int32]) throws(FirewallError) -> pid_t {
        // Sources above all targets: a dup2 must not overwrite what a later one still needs.
        var sources: [Int32] = []
        defer { for source in sources { close(source) } }
        for descriptor in descriptors {
            let source = fcntl(descriptor, F_DUPFD_CLOEXEC, 16)
            guard source >= 0 else { throw .system("\(name) cannot be started", errno: errno) }
            sources.append(source)
        }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (target, source) in sources.enumerated() { posix_spawn_file_actions_adddup2(&actions, source, Int32(target)) }
        cs_spawn_close_from(&actions, Int32(sources.count))
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        var all = sigset_t()
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        // The messages are matched and shown: untranslated.
        let words: [UnsafeMutablePointer<CChar>?] = ([name] + arguments).map { strdup($0) } + [nil]
        let variables = ["LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        let environment: [UnsafeMutablePointer<CChar>?] = variables.map { strdup($0) } + [nil]
        defer { for word in words + environment { free(word) } }
        var pid: pid_t = 0
        let failed = posix_spawn(&pid, path, &actions, &attributes, words, environment)
        guard failed == 0 else { throw .system("\(path) cannot be started", errno: failed) }
        return pid
    }
}

/// Waits for a child that is known to end.
@discardableResult
func reap(_ pid: pid_t) -> Int32 {
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0 { if errno != EINTR { return -1 } }
    return cs_exited(status) != 0 ? cs_exit_status(status) : 128 + cs_term_signal(status)
}

/// The next bytes, none when a signal came in between, `nil` at the end.
func readSome(_ descriptor: Int32) -> [UInt8]? {
    var result = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: 4096) { buffer, count in
        repeat { result = cs_read(descriptor, buffer.baseAddress, 4096) } while result == -Int(EINTR)
        count = max(result, 0)
    }
    return result > 0 ? bytes : nil
}

/// Both ends close-on-exec.
struct Pipe: ~Copyable {
    let reader: Descriptor
    let writer: Descriptor

    init() throws(FirewallError) {
        var ends: [Int32] = [0, 0]
        let result = cs_pipe_blocking(&ends)
        guard result == 0 else { throw .system("a pipe cannot be made", errno: -result) }
        reader = Descriptor(owning: ends[0])
        writer = Descriptor(owning: ends[1])
    }

    consuming func keepReader() -> Descriptor { reader }
    consuming func keepWriter() -> Descriptor { writer }
}

/// A file in memory that holds this text, at its beginning.
package func memoryFile(_ text: String) throws(FirewallError) -> Descriptor {
    let raw = cs_memfd("clearway")
    guard raw >= 0 else { throw .system("a file in memory cannot be made", errno: -raw) }
    let file = Descriptor(owning: raw)
    _ = fcntl(raw, F_SETFD, FD_CLOEXEC)
    try rewrite(file, text)
    return file
}

func rewrite(_ file: borrowing Descriptor, _ text: String) throws(FirewallError) {
    var text = text
    let failed: Int32 = text.withUTF8 { bytes in
        guard ftruncate(file.raw, 0) == 0 else { return errno }
        var written = 0
        while written < bytes.count {
            let count = pwrite(file.raw, bytes.baseAddress! + written, bytes.count - written, off_t(written))
            guard count > 0 else { return errno }
            written += count
        }
        return 0
    }
    guard failed == 0 else { throw .system("a file in memory cannot be written", errno: failed) }
}
