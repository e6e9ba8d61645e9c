/// Writes metrics as Prometheus reads them: in its text format 0.0.4, or in OpenMetrics 1.0.
struct Exposition {
    enum Format: Sendable {
        case prometheus, openMetrics

        var contentType: String {
            switch self {
            case .prometheus: "text/plain; version=0.0.4; charset=utf-8"
            case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
            }
        }
    }

    typealias Labels = KeyValuePairs<String, String>

    private let format: Format
    private var bytes: [UInt8] = []

    init(_ format: Format) { self.format = format }

    /// A family of counters.
    ///
    /// - Parameter name: without `_total`, which its samples bear.
    mutating func counters(_ name: String, _ help: String, _ samples: [(labels: Labels, value: UInt64)]) {
        begin(format == .openMetrics ? name : name + "_total", "counter", help)
        for sample in samples { write(name + "_total", sample.labels, "\(sample.value)") }
    }

    mutating func gauge(_ name: String, _ help: String, _ value: Int) {
        gauges(name, help, [([:], value)])
    }

    /// A family of gauges.
    mutating func gauges(_ name: String, _ help: String, _ samples: [(labels: Labels, value: Int)]) {
        begin(name, "gauge", help)
        for sample in samples { write(name, sample.labels, "\(sample.value)") }
    }

    mutating func histograms(_ name: String, _ help: String, _ samples: [(labels: Labels, histogram: Histogram)]) {
        begin(name, "histogram", help)
        for sample in samples {
            let value = sample.histogram.value
            for (bound, count) in value.counts {
                write(name + "_bucket", sample.labels, le: bound.map(number) ?? "+Inf", "\(count)")
            }
            write(name + "_sum", sample.labels, "\(value.sum)")
            write(name + "_count", sample.labels, "\(value.counts.last?.count ?? 0)")
        }
    }

    consuming func finished() -> [UInt8] {
        if format == .openMetrics { bytes.append("# EOF\n") }
        return bytes
    }

    private mutating func begin(_ name: String, _ type: String, _ help: String) {
        bytes.append("# HELP \(name) \(help)\n# TYPE \(name) \(type)\n")
    }

    private mutating func write(_ name: String, _ labels: Labels, le: String? = nil, _ value: String) {
        let pairs = labels.map { "\($0.key)=\"\($0.value)\"" } + (le.map { ["le=\"\($0)\""] } ?? [])
        bytes.append("\(name)\(pairs.isEmpty ? "" : "{\(pairs.joined(separator: ","))}") \(value)\n")
    }

    /// The bound of a bucket. OpenMetrics wants a fraction in it.
    private func number(_ bound: Double) -> String {
        guard bound == bound.rounded(), abs(bound) < 1e15 else { return "\(bound)" }
        return "\(Int(bound))\(format == .openMetrics ? ".0" : "")"
    }
}
