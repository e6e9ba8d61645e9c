extension HeadReader {
    /// The value of the first field of that name; empty where there is none.
    ///
    /// - Parameters:
    ///   - name: in lower case.
    ///   - bytes: those that the head was read from.
    public func value(of name: StaticString, _ bytes: Span<UInt8>) -> [UInt8] {
        for field in fields where bytes.isText(field.name, name) { return bytes.octets(field.value) }
        return []
    }
}
