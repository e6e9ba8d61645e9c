// swift-tools-version: 6.2

import PackageDescription

// A program of your own names its clone in place of "../..", or the repository that it was cloned from:
// .package(url: "…", branch: "main"). There is no tag yet to give a version of.
let package = Package(
    name: "WhereTo",
    dependencies: [.package(name: "clearway", path: "../..")],
    targets: [
        .executableTarget(
            name: "WhereTo", dependencies: [.product(name: "TransparentSockets", package: "clearway")])
    ]
)
