import Foundation

/// What a situation could not do, in words; shown by the test runner as the failure.
struct SituationError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// Seconds of a clock that nobody sets.
func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// Nothing in these tests may take longer: a limit for stuck programs, not a measure of speed.
let generousLimit = 20.0

/// Asks again and again until `condition` gives a value; throws after `limit` seconds.
///
/// The two milliseconds between two questions only spare the processor: what is waited for is the condition.
func waitFor<Value>(_ what: String, limit: Double = generousLimit, _ condition: () throws -> Value?) throws -> Value {
    let deadline = now() + limit
    while true {
        if let value = try condition() { return value }
        guard now() < deadline else { throw SituationError("waited \(limit) s in vain: \(what)") }
        usleep(2_000)
    }
}

/// Like the other, for a condition that is only true or false.
func waitUntil(_ what: String, limit: Double = generousLimit, _ condition: () throws -> Bool) throws {
    _ = try waitFor(what, limit: limit) { try condition() ? true : nil }
}
