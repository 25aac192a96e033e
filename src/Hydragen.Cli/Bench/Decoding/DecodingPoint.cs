using System.Globalization;

namespace Hydragen.Cli.Bench;

/// <summary>A point of a sweep.</summary>
/// <param name="Sweep">The sweep.</param>
/// <param name="Value">Where it stands on the axis.</param>
/// <param name="Cell">What is measured there.</param>
internal sealed record DecodingPoint(DecodingSweep Sweep, int Value, AttentionCell Cell)
{
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Sweep.Name} {Value}");
}
