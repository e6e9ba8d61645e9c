extension Plan {
    /// The tools the rules can be written for.
    public enum Format: String, Sendable, CaseIterable {
        case nft, iptables, shell
    }

    /// The whole set-up as text to read or to apply by hand. None of the forms dies with a process, as the table that
    /// `run` makes does.
    public func rendered(_ format: Format) -> String {
        switch format {
        case .nft: nftFile
        case .iptables: iptablesFile
        case .shell: shellScript
        }
    }

    private var nftFile: String {
        var text = """
            #!/usr/sbin/nft -f
            # `clearway run` adds "flags owner" to table \(spec.table), so that it vanishes with the process; loaded from a file it stays.

            """
        for command in commands { text += "# " + command + "\n" }
        text += "\n" + replacing(spec.table, with: interceptionTable(owned: false))
        if let down = downTableText { text += "\n" + replacing(spec.downTable, with: down) }
        return text
    }

    private var shellScript: String {
        var text = """
            #!/bin/sh
            # Sets up what `clearway run` would; these rules stay when the proxy stops. The end of this text takes them away again.
            set -e

            nft -f - <<'RULES'

            """
        text += replacing(spec.table, with: interceptionTable(owned: false))
        if let down = downTableText { text += replacing(spec.downTable, with: down) }
        text += "RULES\n"
        for command in commands { text += command + "\n" }
        text += "\n# Undo:\n#   nft delete table inet \(spec.table)\n"
        if spec.onDown == .reject { text += "#   nft delete table inet \(spec.downTable)\n" }
        for command in undoCommands { text += "#   \(command)\n" }
        return text
    }

    /// `ip` and `sysctl` commands in the order in which they take effect without a gap.
    var commands: [String] {
        familyOptions.flatMap { family in
            (route.map { ["ip \(family) route replace \($0)"] } ?? []) + rules.map { "ip \(family) rule add \($0.words)" }
        } + sysctls.map { "sysctl -w \($0.name)=\($0.value)" }
    }

    var undoCommands: [String] {
        familyOptions.flatMap { family in
            rules.reversed().map { "ip \(family) rule del \($0.words)" } + (route.map { ["ip \(family) route del \($0)"] } ?? [])
        } + sysctls.map { "sysctl -w \($0.name)=1   # or what it was before" }
    }
}

/// A transaction in which a table of that name, present or not, becomes this one.
func replacing(_ table: String, with text: String) -> String {
    "table inet \(table)\ndelete table inet \(table)\n\(text)"
}
