internal import CSockets
internal import Glibc

/// How the program ends, by `sysexits(3)`.
public enum ExitCode: Int32, Sendable {
    case good = 0
    case usage = 64
    /// A kernel feature or a program is missing.
    case unavailable = 69
    /// Our bug.
    case software = 70
    /// Address in use and the like.
    case systemError = 71
    case notPermitted = 77
    case configuration = 78
    /// The command of `exec` is there and cannot be started; it is not there. As shells and env(1) say it.
    case commandNotExecutable = 126
    case commandNotFound = 127
}

/// Why the program cannot go on: what to tell the person, and how to exit.
public struct Failure: Error, Sendable, CustomStringConvertible {
    public var code: ExitCode
    public var description: String

    init(_ code: ExitCode, _ description: String) {
        self.code = code
        self.description = description
    }
}

func errorText(_ errno: Int32) -> String { String(cString: strerror(errno)) }

/// A descriptor by which one thread wakes another.
func newWakeup() throws(Failure) -> Int32 {
    let raw = cs_eventfd()
    guard raw >= 0 else { throw Failure(.systemError, "eventfd: \(errorText(-raw))") }
    return raw
}
