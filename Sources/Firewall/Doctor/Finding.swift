/// One thing the doctor looked at.
public struct Finding: Hashable, Sendable {
    public enum Severity: Int, Hashable, Sendable, Comparable {
        /// - note: all works, and something could be better.
        case ok, note, warning, problem
        public static func < (left: Severity, right: Severity) -> Bool { left.rawValue < right.rawValue }
    }
    public var severity: Severity
    /// What was looked at, in a word or two.
    public var subject: String
    public var message: String
    /// The command that mends it; `nil` where nothing need or can be done.
    public var remedy: String?
    /// The exit status `run` would end with because of it, or 71 where it would run in vain; 0 unless it is a problem.
    public var exitCode: Int32

    /// What is as it should be.
    public static func ok(_ subject: String, _ message: String) -> Finding {
        Finding(severity: .ok, subject: subject, message: message, remedy: nil, exitCode: 0)
    }
    static func note(_ subject: String, _ message: String, _ remedy: String?) -> Finding {
        Finding(severity: .note, subject: subject, message: message, remedy: remedy, exitCode: 0)
    }
    static func warning(_ subject: String, _ message: String, _ remedy: String?) -> Finding {
        Finding(severity: .warning, subject: subject, message: message, remedy: remedy, exitCode: 0)
    }
    static func problem(_ code: Int32, _ subject: String, _ message: String, _ remedy: String?) -> Finding {
        Finding(severity: .problem, subject: subject, message: message, remedy: remedy, exitCode: code)
    }
}
