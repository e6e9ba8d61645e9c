import Glibc
import TestSupport
import Testing
import TransparentSockets

@testable import DataPlane

/// Datagrams in, calls out: what arrives must be what was added, one by one, whatever the calls were.
@Suite struct BurstWriterTests {
    /// What stands in for the kernel.
    private final class Kernel {
        /// Datagrams as they arrive.
        var datagrams: [[UInt8]] = []
        /// Datagrams of each call.
        var calls: [Int] = []
        /// The error for a burst, if none can be sent.
        var refusesBursts: Int32 = 0
        /// ... for datagrams of this length.
        var refusedLength = -1

        func send(_ parts: UnsafeMutablePointer<iovec>, _ count: Int, _ segment: Int) -> Int {
            let all = (0..<count).flatMap { Array(UnsafeRawBufferPointer(start: parts[$0].iov_base, count: parts[$0].iov_len)) }
            if segment > 0, refusesBursts != 0 { return -Int(refusesBursts) }
            if segment == 0, all.count == refusedLength { return -Int(EMSGSIZE) }
            let sent =
                segment == 0
                ? [all] : stride(from: 0, to: all.count, by: segment).map { Array(all[$0..<min($0 + segment, all.count)]) }
            // What the kernel would not take.
            if sent.count > 64 || all.count > 65_507 { return -Int(EINVAL) }
            calls.append(sent.count)
            datagrams += sent
            return all.count
        }
    }

    private struct Burst {
        var data: [UInt8]
        var segment = 0
        var datagrams: [[UInt8]] {
            segment == 0
                ? [data] : stride(from: 0, to: data.count, by: segment).map { Array(data[$0..<min($0 + segment, data.count)]) }
        }
    }

    private func write(_ bursts: [Burst], header: [UInt8] = [], usesSegments: Bool = true, _ kernel: Kernel) -> BurstWriter.Outcome
    {
        var writer = BurstWriter(usesSegments: usesSegments)
        var outcome = BurstWriter.Outcome()
        var memory = bursts.flatMap(\.data)
        memory.withUnsafeMutableBytes { memory in
            header.withUnsafeBytes { header in
                var start = 0
                for burst in bursts {
                    let data = UnsafeMutableRawBufferPointer(rebasing: memory[start..<start + burst.data.count])
                    start += burst.data.count
                    writer.add(data, segment: burst.segment, header: header, kernel.send, &outcome)
                }
                writer.flush(kernel.send, &outcome)
            }
        }
        return outcome
    }

    private func data(_ length: Int, _ first: UInt8 = 0) -> [UInt8] { (0..<length).map { UInt8(truncatingIfNeeded: $0) &+ first } }

    @Test func equalOnesGoTogether() {
        let kernel = Kernel()
        let outcome = write((0..<10).map { Burst(data: data(100, $0)) }, kernel)
        #expect(kernel.calls == [10] && kernel.datagrams == (0..<10).map { data(100, $0) })
        #expect(outcome.datagrams == 10 && outcome.bytes == 1_000 && outcome.dropped == 0)
    }

    @Test func aShorterOneIsTheLast() {
        let kernel = Kernel()
        _ = write([100, 100, 40, 100, 100, 200, 200].map { Burst(data: data($0)) }, kernel)
        #expect(kernel.calls == [3, 2, 2] && kernel.datagrams.map(\.count) == [100, 100, 40, 100, 100, 200, 200])
    }

    @Test func nothingIsADatagramOfItsOwn() {
        let kernel = Kernel()
        let outcome = write([0, 0, 5, 0, 5].map { Burst(data: data($0)) }, kernel)
        #expect(kernel.datagrams.map(\.count) == [0, 0, 5, 0, 5] && outcome.datagrams == 5 && outcome.bytes == 10)
    }

    @Test func aBurstIsSentAsItCame() {
        let kernel = Kernel()
        let burst = Burst(data: data(6_000), segment: 1_200)
        _ = write([burst], kernel)
        #expect(kernel.calls == [5] && kernel.datagrams == burst.datagrams)
    }

    @Test func callsHaveBounds() {
        let kernel = Kernel()
        let outcome = write([Burst(data: data(64_800), segment: 1_200), Burst(data: data(64_800), segment: 1_200)], kernel)
        #expect(kernel.calls.allSatisfy { $0 <= 64 } && kernel.datagrams.count == 108 && outcome.dropped == 0)
        let small = Kernel()
        _ = write((0..<200).map { _ in Burst(data: data(1)) }, small)
        #expect(small.calls == [64, 64, 64, 8])
    }

    @Test func eachGetsTheHeader() {
        let kernel = Kernel()
        let header: [UInt8] = [9, 9, 9]
        let outcome = write([Burst(data: data(600), segment: 100), Burst(data: data(50))], header: header, kernel)
        #expect(kernel.calls == [7] && kernel.datagrams.allSatisfy { $0.starts(with: header) })
        #expect(kernel.datagrams.map(\.count) == [103, 103, 103, 103, 103, 103, 53] && outcome.bytes == 650)
    }

    @Test(arguments: [EINVAL, EMSGSIZE, EIO])
    func whereNoBurstsGoTheyGoOneByOne(error: Int32) {
        for header in [[], [7, 7]] as [[UInt8]] {
            let kernel = Kernel()
            kernel.refusesBursts = error
            kernel.refusedLength = 40 + header.count
            let bursts = [Burst(data: data(500), segment: 100), Burst(data: data(40)), Burst(data: data(10))]
            let outcome = write(bursts, header: header, kernel)
            #expect(kernel.datagrams.map(\.count) == [100, 100, 100, 100, 100, 10].map { $0 + header.count })
            #expect(outcome.datagrams == 6 && outcome.bytes == 510 && outcome.dropped == 1 && outcome.error == EMSGSIZE)
        }
    }

    @Test func withoutSegmentsEachGoesByItself() {
        let kernel = Kernel()
        _ = write([Burst(data: data(300), segment: 100), Burst(data: data(100))], usesSegments: false, kernel)
        #expect(kernel.calls == [1, 1, 1, 1])
    }

    @Test func whateverIsAddedArrives() {
        var random = SplitMix(5)
        for _ in 0..<300 {
            let bursts = (0..<Int(random.next() % 40)).map { _ -> Burst in
                let segment = random.next() % 3 == 0 ? Int(random.next() % 1_400) + 1 : 0
                let length =
                    segment > 0
                    ? segment * Int(random.next() % 40 + 1) + Int(random.next() % UInt64(segment)) : Int(random.next() % 1_500)
                return Burst(
                    data: data(min(length, 65_000), UInt8(truncatingIfNeeded: random.next())),
                    segment: length > segment ? segment : 0)
            }
            let header = [UInt8](repeating: 5, count: Int(random.next() % 3) * 5)
            let kernel = Kernel()
            if random.next() % 4 == 0 { kernel.refusesBursts = EINVAL }
            let outcome = write(bursts, header: header, kernel)
            let expected = bursts.flatMap(\.datagrams).map { header + $0 }
            #expect(kernel.datagrams == expected)
            #expect(outcome.datagrams == UInt64(expected.count) && outcome.bytes == UInt64(bursts.reduce(0) { $0 + $1.data.count }))
        }
    }
}
