internal import Protocols

/// Verdicts that still hold, by the whole question: another one never hears them, whatever its hash.
struct VerdictCache {
    /// Bytes of questions and verdicts together.
    static let mostBytes = 4 << 20
    /// A longer question is asked each time.
    static let longestQuestion = 16 << 10

    private struct Entry {
        var answer: PermissionAnswer
        var expiresAt: UInt64
        /// Tells it from an earlier entry of the same question.
        var number: UInt64
    }

    private let lifetime: UInt64
    private let limit: Int
    private var entries: [[UInt8]: Entry] = [:]
    /// In the order of expiry.
    private var order: [(question: [UInt8], number: UInt64, size: Int)] = []
    private var first = 0
    private var lastNumber: UInt64 = 0
    private(set) var bytes = 0

    /// - Parameter lifetime: nanoseconds that a verdict holds; 0: none is kept.
    init(lifetime: UInt64, mostBytes limit: Int = mostBytes) {
        self.lifetime = lifetime
        self.limit = limit
    }

    var count: Int { entries.count }

    func verdict(on question: [UInt8], now: UInt64) -> PermissionAnswer? {
        guard let entry = entries[question], now < entry.expiresAt else { return nil }
        return entry.answer
    }

    mutating func keep(_ answer: PermissionAnswer, on question: [UInt8], now: UInt64) {
        guard lifetime > 0, question.count <= Self.longestQuestion else { return }
        let size = question.count + answer.size + 128
        lastNumber += 1
        entries[question] = Entry(answer: answer, expiresAt: now &+ lifetime, number: lastNumber)
        order.append((question, lastNumber, size))
        bytes += size
        while first < order.count {
            let (oldest, number, size) = order[first]
            let isCurrent = entries[oldest]?.number == number
            guard bytes > limit || !isCurrent || entries[oldest].map({ $0.expiresAt <= now }) == true else { break }
            if isCurrent { entries[oldest] = nil }
            bytes -= size
            first += 1
        }
        if first >= 64, first * 2 > order.count {
            order.removeFirst(first)
            first = 0
        }
    }
}

extension PermissionAnswer {
    fileprivate var size: Int {
        switch self {
        case .granted(let lines): lines.count
        case .unauthorized(let challenges): challenges.reduce(0) { $0 + $1.count }
        case .forbidden, .other: 0
        }
    }
}
