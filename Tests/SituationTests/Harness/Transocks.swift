import Foundation
import Testing

/// A running transocks.
final class Transocks: DropIn {
    init(
        in namespace: Namespace, _ configuration: String, flags: [String] = [], logFile: String? = nil, wrapper: [String] = [],
        environment: [String: String] = [:]
    ) throws {
        try super.init(
            "transocks", in: namespace, configuration, flags: flags, logFile: logFile, wrapper: wrapper, environment: environment)
    }

    static func link(in scratch: ScratchDirectory) throws -> String { try link("transocks", in: scratch) }
}

/// What the tests' transocks is told, unless they say something else.
struct TransocksConfiguration {
    static let proxyPort = ProxyProgram.port

    var listen = "0.0.0.0:1081"
    var proxy = "socks5://198.51.100.2:\(proxyPort)"
    var format = "json"
    var level = "info"
    var file = ""

    var toml: String {
        """
        listen = "\(listen)"
        proxy_url = "\(proxy)"
        [log]
        filename = "\(file)"
        level = "\(level)"
        format = "\(format)"

        """
    }
}

extension Stage {
    /// Redirects as administrators of transocks do: what arrives from the client, or what the router itself sends.
    ///
    /// - Parameter sparesProxy: false: the rule that administrators forget.
    func redirectToTransocks(sparesProxy: Bool = true) throws {
        try topology.router.nft(
            """
            table inet transocks {
                chain prerouting {
                    type nat hook prerouting priority -100
                    iifname "lan" meta l4proto tcp redirect to :1081
                }
                chain output {
                    type nat hook output priority -100
                    ip daddr 127.0.0.0/8 return
                    ip6 daddr ::1 return
                    \(sparesProxy ? "tcp dport \(TransocksConfiguration.proxyPort)-\(TransocksConfiguration.proxyPort + 1) return" : "")
                    meta l4proto tcp redirect to :1081
                }
            }
            """)
    }

    func startTransocks(
        _ configuration: TransocksConfiguration = TransocksConfiguration(), flags: [String] = [], wrapper: [String] = [],
        environment: [String: String] = [:]
    ) throws -> Transocks {
        let transocks = try Transocks(
            in: topology.router, configuration.toml, flags: flags, logFile: configuration.file.isEmpty ? nil : configuration.file,
            wrapper: wrapper, environment: environment)
        try transocks.waitUntilServing()
        return transocks
    }
}

/// A stage on which transocks runs, behind the rules of its administrator.
func playTransocks(
    _ configuration: TransocksConfiguration = TransocksConfiguration(), variant: Variant = Variant(mode: .redirect),
    wrapper: [String] = [], environment: [String: String] = [:], _ situation: (Stage, Transocks) throws -> Void
) throws {
    try play(variant, start: false) { stage in
        try stage.redirectToTransocks()
        let transocks = try stage.startTransocks(configuration, wrapper: wrapper, environment: environment)
        do {
            try situation(stage, transocks)
        } catch {
            FileHandle.standardError.write(Data("transocks' log:\n\(transocks.log.suffix(4000))\n".utf8))
            throw error
        }
    }
}
