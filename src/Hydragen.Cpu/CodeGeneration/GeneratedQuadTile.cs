using Iced.Intel;

namespace Hydragen.Cpu;

/// <summary>The generated register tile over INT8 quads, for rows of unsigned bytes.</summary>
internal static class GeneratedQuadTile
{
    private static readonly Lazy<(GeneratedTile? Tile, string? WhyNot)> Process = new(() => (TryCreate(QuadTileEmitter.Emit, out string? whyNot), whyNot));

    /// <summary>The tile of this process, made and tested on first use; null where it cannot run.</summary>
    public static GeneratedTile? Shared => Process.Value.Tile;

    /// <summary>Why <see cref="Shared"/> is null, or null.</summary>
    public static string? WhyNotShared => Process.Value.WhyNot;

    /// <summary>Generates the kernels and compares each with a sum in integers.</summary>
    /// <param name="emit">Emits one kernel: <see cref="QuadTileEmitter.Emit"/>, or what a test puts in its place.</param>
    /// <param name="whyNot">Why there is none, or null.</param>
    public static GeneratedTile? TryCreate(Action<Assembler, int, int> emit, out string? whyNot)
    {
        whyNot = !ExecutableMemory.IsSupported ? "generated code runs on Linux on x64 only"
            : !ProcessorFeatures.HasAvx512Vnni ? "the processor has no AVX512_VNNI" : null;
        if (whyNot is not null) return null;
        GeneratedTile tile;
        try
        {
            tile = new GeneratedTile(emit);
        }
        catch (PlatformNotSupportedException exception)
        {
            whyNot = exception.Message;
            return null;
        }
        foreach ((int rows, int strips) in GeneratedTile.Sizes) whyNot ??= QuadTileSelfTest.Run(tile, isUnsigned: true, rows, strips);
        if (whyNot is null) return tile;
        tile.Dispose();
        return null;
    }
}
