internal import Policy
internal import Protocols
internal import TransparentSockets

// The server's side of handshakes, as a client of any kind finds it.

/// The first byte says what is served, whether credentials are right, and in which pieces the client's bytes come.
func checkSOCKSServer(_ bytes: [UInt8]) -> String? {
    guard let first = bytes.first else { return nil }
    let server = SOCKSServer(wantsCredentials: first & 1 == 0, servesSOCKS4: first & 2 == 0)
    return check(server, bytes.dropFirst(), chunk: chunk(first), accepts: first & 4 == 0)
}

func checkConnectServer(_ bytes: [UInt8]) -> String? {
    guard let first = bytes.first else { return nil }
    let server = ConnectServer(realm: first & 1 == 0 ? "fuzz" : nil, proxy: first & 2 == 0 ? "fuzz" : nil)
    return check(server, bytes.dropFirst(), chunk: chunk(first), accepts: first & 4 == 0)
}

/// The first byte says in which pieces the others come.
func checkPageServer(_ bytes: [UInt8]) -> String? {
    guard let first = bytes.first else { return nil }
    let (end, fault) = playPage(bytes.dropFirst(), chunk: chunk(first))
    if let fault { return fault }
    let whole = playPage(bytes.dropFirst(), chunk: .max).end
    return end == whole ? nil : "in pieces: \(end), all \(bytes.count): \(whole)"
}

private func playPage(_ bytes: ArraySlice<UInt8>, chunk: Int) -> (end: PageServer.Step, fault: String?) {
    var server = PageServer()
    var end = PageServer.Step.needsMore
    let fault = feed(bytes, chunk: chunk) { bytes in
        let length: Int
        (length, end) = server.advance(bytes)
        guard end == .needsMore else { return (length, .ends) }
        return (length, bytes.count - length >= PageServer.longestPart ? .stuck : .goesOn)
    }
    return (end, fault)
}

/// The pieces do not matter, and what a client asks for is what our own client's side would ask for.
private func check(_ server: some ServingHandshake, _ bytes: ArraySlice<UInt8>, chunk: Int, accepts: Bool) -> String? {
    let (end, fault) = play(server, bytes, chunk: chunk, accepts: accepts)
    if let fault { return fault }
    let whole = play(server, bytes, chunk: .max, accepts: accepts).end
    guard end == whole else { return "in pieces of \(chunk): \(end), all \(bytes.count): \(whole)" }
    guard case .request(let request) = end, request.command == .connect else { return nil }
    if case .name(let name) = request.target.host, DomainName(name) == nil, IPAddress(anySpelling: name) == nil {
        return "\(name) is nothing to the policy"
    }
    let socks = [5, 1, 0] + SOCKS5Client.request(.connect, request.target)
    guard play(SOCKSServer(wantsCredentials: false), socks[...], chunk: .max, accepts: true).end == end else {
        return "\(request) is another one in SOCKS5"
    }
    let connect = ConnectClient.request(request.target)
    guard play(ConnectServer(realm: nil), connect[...], chunk: .max, accepts: true).end == end else {
        return "\(request) is another one in HTTP"
    }
    return nil
}

private func play<Server: ServingHandshake>(
    _ server: Server, _ bytes: ArraySlice<UInt8>, chunk: Int, accepts: Bool
) -> (end: ServingStep, fault: String?) {
    var server = server
    var end = ServingStep.needsMore
    let fault = feed(bytes, chunk: chunk) { bytes in
        let length: Int
        (length, end) = server.advance(bytes)
        if case .authenticate = end { end = server.judge(accepted: accepts) }
        switch end {
        case .needsMore: return (length, bytes.count - length >= Server.longestPart ? .stuck : .goesOn)
        case .send(let answer): return (length, answer.isEmpty ? .stuck : .goesOn)
        case .authenticate, .request, .reject: return (length, .ends)
        }
    }
    return (end, fault)
}
