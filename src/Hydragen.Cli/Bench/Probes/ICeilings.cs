using System.Text.Json;
using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>What a device can do at most, measured in the same run.</summary>
internal interface ICeilings
{
    /// <summary>One line for people.</summary>
    string Description { get; }

    /// <summary>Why they should not be trusted, or null.</summary>
    string? Warning { get; }

    /// <summary>The best way to read memory, in 10⁹ bytes a second.</summary>
    double BestReadGigabytes { get; }

    /// <summary>The arithmetic ceiling of operators on a type of data, in 10⁹ floating-point operations a second; null when unknown.</summary>
    double? PeakGflops(ElementType type);

    /// <summary>Whether measuring again gave about the same.</summary>
    bool IsLike(ICeilings other);

    /// <summary>Writes them as properties.</summary>
    void Write(Utf8JsonWriter json);
}
