import CSockets
import Glibc
import Testing
import TransparentSockets

@testable import Firewall

/// A network namespace of its own for each test, deleted with it. Its processes and rules go with it.
final class Namespace: @unchecked Sendable {
    let name: String
    private static let counter = Counter()

    init() throws {
        name = "cw-fw-\(getpid())-\(Namespace.counter.next())"
        try hostShell("ip netns add \(name) && ip -n \(name) link set lo up")
    }

    deinit { _ = try? hostShell("ip netns del \(name)") }

    /// Runs on a thread that lives in this namespace; the children it starts live there too.
    func run<Result>(_ body: @escaping () throws -> Result) throws -> Result {
        try onThread {
            let descriptor = cs_open("/run/netns/\(self.name)", O_RDONLY, 0)
            try #require(descriptor >= 0)
            defer { close(descriptor) }
            try #require(cs_setns(descriptor, cs_clone_newnet) == 0)
            return try body()
        }
    }

    /// A shell command in this namespace; its output.
    @discardableResult
    func shell(_ command: String) throws -> String {
        try Tool.find("ip").run(["netns", "exec", name, "sh", "-c", command]).checked(command)
    }
}

@discardableResult
func hostShell(_ command: String) throws -> String {
    try Tool(name: "sh", path: "/bin/sh").run(["-c", command]).checked(command)
}

struct CommandFailed: Error { var text: String }

extension Tool.Finished {
    func checked(_ command: String) throws -> String {
        guard status == 0 else { throw CommandFailed(text: "\(command): \(status) \(errors)") }
        return output
    }
}

private final class Counter: @unchecked Sendable {
    private var value = 0
    private var lock = pthread_mutex_t()
    func next() -> Int {
        pthread_mutex_lock(&lock)
        defer { pthread_mutex_unlock(&lock) }
        value += 1
        return value
    }
}

/// A pthread of its own, joined: a namespace or a dropped capability belongs to the thread and ends with it.
func onThread<Result>(_ body: @escaping () throws -> Result) throws -> Result {
    var result: Swift.Result<Result, any Error>?
    let closure = ThreadClosure { result = Swift.Result { try body() } }
    var thread = pthread_t()
    let created = pthread_create(
        &thread, nil,
        { raw in
            Unmanaged<ThreadClosure>.fromOpaque(raw!).takeRetainedValue().run()
            return nil
        }, Unmanaged.passRetained(closure).toOpaque())
    try #require(created == 0)
    pthread_join(thread, nil)
    return try result!.get()
}

private final class ThreadClosure {
    let run: () -> Void
    init(_ run: @escaping () -> Void) { self.run = run }
}
