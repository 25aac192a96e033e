using Hydragen.Core;

namespace Hydragen.Cli.Bench;

/// <summary>One of the sweeps of the decoding benchmark.</summary>
/// <param name="Name">Its name on the command line.</param>
/// <param name="Title">What it shows.</param>
/// <param name="AxisName">What grows.</param>
/// <param name="ReadsMemory">Whether its points are bound by reads of keys and values, so that its chart shows these.</param>
/// <param name="Values">The values of the axis.</param>
internal sealed record DecodingSweep(string Name, string Title, string AxisName, bool ReadsMemory, IReadOnlyList<int> Values)
{
    private const int ShortLength = 128, LargeBatch = 128, HybridBatch = 100;

    private static readonly int[] Lengths = [64, 128, 256, 512, 1024, 2048, 4096, 8192];
    private static readonly int[] Batches = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048];
    private static readonly int[] Shares = [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100];

    private static readonly DecodingSweep PrefillLength = new("prefill-length", "Prefill of one sequence, causal", "tokens", false, Lengths);
    private static readonly DecodingSweep PrefillBatch = new("prefill-batch", $"Prefill of {ShortLength} tokens each, causal", "sequences", false, Batches);
    private static readonly DecodingSweep DecodeLength = new("decode-length-1", "Decoding of one sequence", "keys", true, [16, 32, .. Lengths]);
    private static readonly DecodingSweep DecodeLengthBatch = new($"decode-length-{LargeBatch}", $"Decoding of {LargeBatch} sequences", "keys of each", true, [16, 32, .. Lengths]);
    private static readonly DecodingSweep DecodeBatch = new("decode-batch", $"Decoding with {ShortLength} keys each", "sequences", true, Batches);
    private static readonly DecodingSweep Hybrid = new("hybrid", $"{HybridBatch} sequences of {ShortLength} tokens, some decode, the rest is prefilled", "sequences that are prefilled, %", false, Shares);

    /// <summary>All of them, in the order of tables and charts.</summary>
    public static IReadOnlyList<DecodingSweep> All { get; } = [PrefillLength, PrefillBatch, DecodeLength, DecodeLengthBatch, DecodeBatch, Hybrid];

    /// <summary>The points, in the order of the axis.</summary>
    /// <param name="shape">Heads.</param>
    /// <param name="maxLength">Points with more tokens a sequence are left out.</param>
    /// <param name="maxBatch">Points with more sequences are left out.</param>
    public IEnumerable<DecodingPoint> Points(AttentionShape shape, int maxLength, int maxBatch) =>
        Values.Select(value => new DecodingPoint(this, value, CellAt(shape, value))).Where(point => point.Cell.Suffix <= maxLength && point.Cell.Batch <= maxBatch);

    private AttentionCell CellAt(AttentionShape shape, int value)
    {
        if (this == PrefillLength) return new AttentionCell(shape, 1, 0, value) { QueryLength = value };
        if (this == PrefillBatch) return new AttentionCell(shape, value, 0, ShortLength) { QueryLength = ShortLength };
        if (this == DecodeLength) return new AttentionCell(shape, 1, 0, value);
        if (this == DecodeLengthBatch) return new AttentionCell(shape, LargeBatch, 0, value);
        if (this == DecodeBatch) return new AttentionCell(shape, value, 0, ShortLength);
        return new AttentionCell(shape, HybridBatch, 0, ShortLength) { QueryLength = ShortLength, NumDecoding = HybridBatch * (100 - value) / 100 };
    }
}
