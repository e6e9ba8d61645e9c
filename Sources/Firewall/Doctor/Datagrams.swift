internal import TransparentSockets

/// UDP sockets of others that stand in the way: on our listeners' addresses, and on the ports that answers come from.
func datagramSockets(_ plan: Plan, _ state: SystemState, running: Bool) -> [Finding] {
    let receiving = state.receiving.sorted { ($0.port, "\($0)") < ($1.port, "\($1)") }
    var findings: [Finding] = []
    let ours = listeners(plan.spec, of: .udp)
    for address in ours where !running {
        if let blocking = receiving.first(where: { isInTheWay($0, of: address) }) {
            findings.append(
                .problem(
                    71, "listener \(address)", "a program already receives datagrams on \(blocking)",
                    "ss -Hlunp 'sport = \(address.port)'"))
        }
    }
    // An answer leaves from the port that the client has asked; with this capability it does without a socket on that port.
    guard !state.rawCapable else { return findings }
    let members = plan.spec.interceptions.filter { $0.protocols.contains(.udp) }
    let listening = Set(ours.map(\.port))
    let held = unique(
        receiving.filter { socket in
            socket.address.isUnspecified && !listening.contains(socket.port)
                && members.contains { $0.ports.isEmpty || $0.ports.contains { $0.contains(socket.port) } }
        }.map(\.port))
    if !held.isEmpty {
        let shown = held.prefix(10).map(String.init).joined(separator: ", ") + (held.count > 10 ? " and others" : "")
        findings.append(
            .warning(
                "UDP port\(held.count > 1 ? "s" : "") \(shown)",
                "held by programs of this host on every address: clients that ask others on such a port get no answer without CAP_NET_RAW",
                "\(granting(wantedCapabilities, state))   # or let the programs listen on single addresses"))
    }
    return findings
}
