// swift-tools-version: 6.2

import PackageDescription

// One set of rules for every module: Swift 6 concurrency, spelled-out existentials, imports that do not leak.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

// Targets are listed from the bottom of ARCHITECTURE.md's drawing to its top: each may import only those listed before it.
let package = Package(
    name: "clearway",
    products: [
        .executable(name: "clearway", targets: ["clearway"]),
        .library(name: "TransparentSockets", targets: ["TransparentSockets"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/LebJe/TOMLKit", from: "0.6.0"),
    ],
    targets: [
        .target(name: "CSockets"),
        .target(name: "CNamespaces", dependencies: ["CSockets"]),
        // libidn2, for names beyond ASCII. TransparentSockets, which others build on, stays free of it.
        .systemLibrary(name: "CIDN2", providers: [.apt(["libidn2-dev"])]),
        .target(
            name: "TransparentSockets",
            dependencies: ["CSockets", .product(name: "SystemPackage", package: "swift-system")],
            swiftSettings: strict),
        .target(name: "Policy", dependencies: ["TransparentSockets", "CIDN2"], swiftSettings: strict),
        .target(
            name: "Protocols", dependencies: ["TransparentSockets"],
            swiftSettings: strict + [.enableExperimentalFeature("Lifetimes")]),
        .systemLibrary(name: "COpenSSL", providers: [.apt(["libssl-dev"])]),
        // glibc's own; TransparentSockets, which others build on, stays free of it.
        .systemLibrary(name: "CResolver"),
        .target(name: "TLS", dependencies: ["TransparentSockets", "COpenSSL"], swiftSettings: strict),
        // libcrypt, for passwords as files keep them.
        .systemLibrary(name: "CCrypt", providers: [.apt(["libcrypt-dev"])]),
        .target(name: "Credentials", dependencies: ["CCrypt", "COpenSSL"], swiftSettings: strict),
        .target(
            name: "Configuration",
            dependencies: [
                "TransparentSockets", "Policy", "Protocols", "TLS", "Credentials", .product(name: "TOMLKit", package: "TOMLKit"),
            ],
            swiftSettings: strict),
        .target(
            name: "Firewall",
            dependencies: ["TransparentSockets", "CSockets"],
            swiftSettings: strict),
        .target(
            name: "DataPlane",
            dependencies: [
                "TransparentSockets", "CSockets", "CResolver", "Policy", "Protocols", "TLS", "Credentials",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: strict),
        .target(
            name: "ClearwayServer",
            dependencies: [
                "Configuration", "Firewall", "DataPlane", "Policy", "Protocols", "TLS", "Credentials", "TransparentSockets",
                "CSockets", "CNamespaces", .product(name: "SystemPackage", package: "swift-system"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "clearway",
            dependencies: ["ClearwayServer", "Firewall", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            swiftSettings: strict),
        .executableTarget(
            name: "decide", dependencies: ["Policy", "TransparentSockets"], path: "Benchmarks/decide", swiftSettings: strict),
        .target(name: "TestSupport", path: "Tests/Support", swiftSettings: strict),
        .target(
            name: "FuzzTargets", dependencies: ["Policy", "Protocols", "TransparentSockets"], path: "Tests/Fuzz/Targets",
            swiftSettings: strict),
        .testTarget(name: "FuzzTests", dependencies: ["TestSupport", "FuzzTargets"], swiftSettings: strict),
        .testTarget(
            name: "DataPlaneTests",
            dependencies: ["TestSupport", "DataPlane", "Policy", "Credentials", "TransparentSockets", "CSockets"],
            swiftSettings: strict),
        .testTarget(
            name: "ClearwayServerTests",
            dependencies: [
                "TestSupport", "ClearwayServer", "Configuration", "DataPlane", "Protocols", "TransparentSockets",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            exclude: ["Readers"], swiftSettings: strict),
        .testTarget(
            name: "TransparentSocketsTests",
            dependencies: ["TransparentSockets", "CSockets", .product(name: "SystemPackage", package: "swift-system")],
            swiftSettings: strict),
        .testTarget(
            name: "ProtocolsTests", dependencies: ["TestSupport", "Protocols", "TransparentSockets"], swiftSettings: strict),
        .testTarget(
            name: "TLSTests", dependencies: ["TestSupport", "TLS", "TransparentSockets", "CSockets"], swiftSettings: strict),
        .testTarget(name: "CredentialsTests", dependencies: ["TestSupport", "Credentials"], swiftSettings: strict),
        .testTarget(name: "PolicyTests", dependencies: ["TestSupport", "Policy", "TransparentSockets"], swiftSettings: strict),
        .testTarget(
            name: "ConfigurationTests",
            dependencies: ["TestSupport", "Configuration", "Policy", "Protocols", "TLS", "TransparentSockets"],
            swiftSettings: strict),
        .testTarget(
            name: "FirewallTests", dependencies: ["Firewall", "TransparentSockets", "CSockets"], exclude: ["Golden"],
            swiftSettings: strict),
        .testTarget(name: "SituationTests", dependencies: ["TestSupport", "clearway"], exclude: ["Peers"], swiftSettings: strict),
    ]
)

// `make fuzz` only: libFuzzer brings a `main` of its own and has every module watched, which nobody else wants.
if Context.environment["CLEARWAY_FUZZ"] != nil {
    package.targets.append(
        .executableTarget(name: "fuzz", dependencies: ["FuzzTargets"], path: "Tests/Fuzz/Driver", swiftSettings: strict))
}
