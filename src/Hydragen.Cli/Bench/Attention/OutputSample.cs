using System.Runtime.InteropServices;

namespace Hydragen.Cli.Bench;

/// <summary>Keeps some rows of a cell's output in a file, so that another program can compare its own with them.</summary>
internal static class OutputSample
{
    /// <summary>Rows that are kept, spread evenly over all.</summary>
    public const int NumRows = 32;

    /// <summary>Writes FP32 <c>[rows, numHeads, headDim]</c>, little-endian; row i is row <c>i · numRows / rows</c> of the output.</summary>
    /// <param name="folder">An existing folder.</param>
    /// <param name="cell">The cell, which gives the file its name.</param>
    /// <param name="output"><c>[numRows, numHeads, headDim]</c>.</param>
    public static void Write(string folder, AttentionCell cell, ReadOnlySpan<float> output)
    {
        int rowSize = cell.Shape.NumHeads * cell.Shape.HeadDim, numRows = output.Length / rowSize, count = Math.Min(NumRows, numRows);
        var sample = new float[count * rowSize];
        for (int i = 0; i < count; i++) output.Slice((int)((long)i * numRows / count) * rowSize, rowSize).CopyTo(sample.AsSpan(i * rowSize));
        string name = $"{cell.Batch}-{cell.Prefix}-{cell.Suffix}-{cell.Shape.NumHeads}-{cell.Shape.NumKvHeads}.f32";
        File.WriteAllBytes(Path.Combine(folder, name), MemoryMarshal.AsBytes<float>(sample));
    }
}
