using System.Text.Json;
using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>What the GPUs of all ranks can do at most together: so many times what rank 0 measured on its own, the others being equal.</summary>
/// <param name="One">Of one GPU.</param>
/// <param name="NumRanks">How many there are.</param>
internal sealed record RankCeilings(ICeilings One, int NumRanks) : ICeilings
{
    public string Description => $"{NumRanks} times those of rank 0's GPU: {One.Description}";

    public string? Warning => One.Warning;

    public double BestReadGigabytes => NumRanks * One.BestReadGigabytes;

    public double? PeakGflops(ElementType type) => NumRanks * One.PeakGflops(type);

    public bool IsLike(ICeilings other) => other is RankCeilings ceilings && ceilings.NumRanks == NumRanks && One.IsLike(ceilings.One);

    public void Write(Utf8JsonWriter json)
    {
        json.WriteNumber("gpus", NumRanks);
        One.Write(json);
    }
}
