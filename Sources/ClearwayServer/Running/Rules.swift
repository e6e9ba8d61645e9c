internal import CSockets
internal import Configuration
internal import Firewall
internal import Logging

/// The kernel's side of interception, for the time that the program runs.
final class Rules {
    /// The number on all packets of our own.
    let mark: UInt32 = 0x100_0000
    static func checkPermission(_ configuration: Configuration) throws(Failure) {}
    init(_ configuration: Configuration, ipv6: Bool) throws(Failure) {
        if configuration.firewall.manage { throw Failure(.unavailable, "firewall.manage = true is not yet supported") }
    }
    func apply(_ logger: Logger) throws(Failure) {}
    func replace(with configuration: Configuration, ipv6: Bool, _ logger: Logger) throws(Failure) {}
    func remove(_ logger: Logger) {}
    func restore(_ logger: Logger) {}
    var watched: Int32? { nil }
}
public enum RulesFormat: String, Sendable, CaseIterable { case nft, iptables, shell }
public func rules(configurationAt path: String?, _ format: RulesFormat) throws(Failure) -> String { "" }
public struct Report: Sendable {
    public var text: String
    public var code: ExitCode
}
public func diagnose(configurationAt path: String?, probe: Bool) throws(Failure) -> Report { Report(text: "", code: .good) }
