import CSockets
import Glibc
import Synchronization
import TransparentSockets

@testable import DataPlane

/// A name server on loopback that answers each question as it is told to.
final class NameServer: Sendable {
    let port: UInt16
    private let socket: Int32
    private let isOver = Atomic<Bool>(false)
    private let received = Atomic<Int>(0)

    /// - Parameter answer: the answer to a question, both as they are on the wire; nil: silence.
    init(_ answer: @escaping @Sendable (_ question: [UInt8]) -> [UInt8]?) throws {
        let raw = Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        socket = raw
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(raw, $0, length) == 0 && getsockname(raw, $0, &length) == 0
            }
        }
        guard isBound else { throw Unbound() }
        port = UInt16(bigEndian: address.sin_port)
        try startThread("nameserver") { [self] in serve(answer) }
    }

    private struct Unbound: Error {}

    var questions: Int { received.load(ordering: .relaxed) }

    func stop() { isOver.store(true, ordering: .relaxed) }

    func ask(_ question: BlockListQuestion) -> BlockListAnswer { question.ask((IPv4Address(bits: 0x7F00_0001), port)) }

    private func serve(_ answer: (_ question: [UInt8]) -> [UInt8]?) {
        while !isOver.load(ordering: .relaxed) {
            var entry = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
            guard poll(&entry, 1, 20) == 1 else { continue }
            var bytes = [UInt8](repeating: 0, count: 512)
            var peer = sockaddr_storage()
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            withUnsafeMutablePointer(to: &peer) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { peer in
                    let count = recvfrom(socket, &bytes, bytes.count, 0, peer, &length)
                    guard count > 0 else { return }
                    received.add(1, ordering: .relaxed)
                    guard let answer = answer(Array(bytes[..<count])) else { return }
                    _ = sendto(socket, answer, answer.count, 0, peer, length)
                }
            }
        }
        close(socket)
    }
}

/// DNS messages, written by hand (RFC 1035 §4).
struct Message {
    typealias Record = (type: UInt16, seconds: UInt32, data: [UInt8])

    var isAnswer = true
    var isCutOff = false
    var code: UInt8 = 0
    var answers: [Record] = []
    var authorities: [Record] = []

    /// An answer with these addresses.
    init(_ addresses: String..., seconds: UInt32 = 60) {
        answers = addresses.map { (type: 1, seconds: seconds, data: Self.octets(IPv4Address($0)!.bits)) }
    }

    /// No such name, and for how long.
    init(nothingFor seconds: UInt32, soaSeconds: UInt32 = 7_200) {
        code = 3
        let numbers: [[UInt8]] = [1, 2, 3, 4, seconds].map(Self.octets)
        authorities = [(type: 6, seconds: soaSeconds, data: [0, 0] + numbers.joined())]
    }

    static func octets(_ number: UInt32) -> [UInt8] { withUnsafeBytes(of: number.bigEndian, Array.init) }

    /// The header of `question` with its number, the question itself, and the records, whose name is the question's.
    func bytes(to question: [UInt8] = Message.question) -> [UInt8] {
        var bytes = Array(question[..<2])
        func append(_ number: Int) { bytes += [UInt8(number >> 8), UInt8(number & 255)] }
        bytes.append((isAnswer ? 0x80 : 0) | (isCutOff ? 2 : 0) | 1)
        bytes.append(0x80 | code)
        for count in [1, answers.count, authorities.count, 0] { append(count) }
        bytes += question[12...]
        for record in answers + authorities {
            bytes += [0xC0, 12]
            append(Int(record.type))
            append(1)
            bytes += Self.octets(record.seconds)
            append(record.data.count)
            bytes += record.data
        }
        return bytes
    }

    /// For the address record of `list`.
    static let question: [UInt8] = [7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 4] + Array("list".utf8) + [0, 0, 1, 0, 1]
}
