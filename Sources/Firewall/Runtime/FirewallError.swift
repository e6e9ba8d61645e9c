internal import Glibc

/// Why the rules could not be applied; nothing of them is left.
public struct FirewallError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Kind: Hashable, Sendable {
        /// `nft` or `ip` is not installed.
        case missingProgram
        /// The kernel was built without something the rules need, or is too old.
        case missingFeature
        /// CAP_NET_ADMIN is wanting.
        case notPermitted
        /// A table of our name exists that is not ours.
        case tableTaken
        /// What is asked for cannot be had by any rules.
        case specification
        case system
    }
    public var kind: Kind
    public var description: String

    public init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }

    /// The exit status of a program that ends because of this, as in sysexits.h.
    public var exitCode: Int32 {
        switch kind {
        case .missingProgram, .missingFeature: 69
        case .notPermitted: 77
        case .tableTaken, .system: 71
        case .specification: 78
        }
    }

    static func system(_ what: String, errno code: Int32) -> FirewallError {
        FirewallError(code == EPERM || code == EACCES ? .notPermitted : .system, "\(what): \(String(cString: strerror(code)))")
    }

    static let noCapability = FirewallError(
        .notPermitted, "not permitted to change the firewall: run as root, or give the program CAP_NET_ADMIN")
}
