import Foundation

/// How a program ended.
enum ExitStatus: Equatable, CustomStringConvertible {
    case exited(Int32)
    case signalled(Int32)

    init(waitStatus: Int32) {
        let signal = waitStatus & 0x7f
        self = signal == 0 ? .exited((waitStatus >> 8) & 0xff) : .signalled(signal)
    }

    var description: String {
        switch self {
        case .exited(let code): "exit \(code)"
        case .signalled(let signal): "signal \(signal)"
        }
    }
}

/// A program that is running, with its output in two files: no thread has to empty a pipe, and what it said survives it.
final class Program {
    let pid: pid_t
    let outputFile: String
    let errorFile: String
    private(set) var status: ExitStatus?

    /// Enough of any program's output to see what happened, and little enough to hold in memory.
    private static let outputLimit = 16 << 20

    /// Starts `arguments[0]`, found in PATH.
    ///
    /// - Parameters:
    ///   - files: a path; ".out" and ".err" are added to it.
    ///   - input: the descriptor that becomes its standard input; otherwise that is empty.
    ///   - output: the descriptor that becomes its standard output, in place of the file.
    init(
        _ arguments: [String], files: String, environment: [String: String] = [:], input: Int32? = nil, output: Int32? = nil
    ) throws {
        outputFile = files + ".out"
        errorFile = files + ".err"

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let input {
            posix_spawn_file_actions_adddup2(&actions, input, 0)
        } else {
            posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        }
        let flags = O_WRONLY | O_CREAT | O_TRUNC | O_APPEND
        if let output {
            posix_spawn_file_actions_adddup2(&actions, output, 1)
        } else {
            posix_spawn_file_actions_addopen(&actions, 1, outputFile, flags, 0o600)
        }
        posix_spawn_file_actions_addopen(&actions, 2, errorFile, flags, 0o600)
        // What the test runner left open to be inherited is not for programs that count descriptors, or outlive it.
        for descriptor in try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").compactMap({ Int32($0) })
        where descriptor > 2 && fcntl(descriptor, F_GETFD) & FD_CLOEXEC == 0 {
            posix_spawn_file_actions_addclose(&actions, descriptor)
        }

        // The test runner may ignore or block signals, and both are inherited; the programs under test must start as from a shell.
        // A group of its own keeps a Ctrl-C for the test run away from it.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var everySignal = sigset_t()
        sigfillset(&everySignal)
        posix_spawnattr_setsigdefault(&attributes, &everySignal)
        var noSignal = sigset_t()
        sigemptyset(&noSignal)
        posix_spawnattr_setsigmask(&attributes, &noSignal)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP))

        let merged = ProcessInfo.processInfo.environment.merging(environment) { _, new in new }
        var argumentPointers: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        var environmentPointers: [UnsafeMutablePointer<CChar>?] = merged.map { strdup("\($0)=\($1)") } + [nil]
        defer { for pointer in argumentPointers + environmentPointers { free(pointer) } }
        var child: pid_t = 0
        let code = posix_spawnp(&child, arguments[0], &actions, &attributes, &argumentPointers, &environmentPointers)
        guard code == 0 else { throw SituationError("cannot start \(arguments[0]): \(String(cString: strerror(code)))") }
        pid = child
    }

    var isRunning: Bool {
        poll() == nil
    }

    /// Its status, when it has ended.
    @discardableResult
    func poll() -> ExitStatus? {
        if status == nil {
            var raw: Int32 = 0
            if waitpid(pid, &raw, WNOHANG) == pid { status = ExitStatus(waitStatus: raw) }
        }
        return status
    }

    @discardableResult
    func waitForExit(limit: Double = generousLimit) throws -> ExitStatus {
        try waitFor("the end of process \(pid)", limit: limit) { poll() }
    }

    /// SIGSTOP takes effect in each thread by itself: when this returns, none does anything any more.
    func signal(_ signal: Int32) {
        guard isRunning else { return }
        kill(pid, signal)
        if signal == SIGSTOP { try? waitUntil("the stop of process \(pid)") { isStopped } }
    }

    private var isStopped: Bool {
        let threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task")) ?? []
        return threads.allSatisfy {
            let status = (try? String(contentsOfFile: "/proc/\(pid)/task/\($0)/status", encoding: .utf8)) ?? ""
            return status.contains("\nState:\tT")
        }
    }

    /// Ends it now, whatever it is doing, and collects it.
    func end() {
        signal(SIGKILL)
        _ = try? waitForExit()
    }

    var standardOutput: String { Self.read(outputFile) }
    var standardError: String { Self.read(errorFile) }

    private static func read(_ path: String) -> String {
        guard let handle = FileHandle(forReadingAtPath: path) else { return "" }
        defer { try? handle.close() }
        return String(decoding: (try? handle.read(upToCount: outputLimit)) ?? Data(), as: UTF8.self)
    }
}
