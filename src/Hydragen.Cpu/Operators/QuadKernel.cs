using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Hydragen.Cpu;

/// <summary>One row of the table of products of INT8 rows and INT8 weights. All read the same packed weights and give the same bits.</summary>
/// <param name="Name">What people call it.</param>
/// <param name="Lanes">INT32 lanes of its vectors.</param>
/// <param name="Tile">The kernel; null when it cannot run here.</param>
/// <param name="IsUnsigned">
/// Whether rows must come as unsigned bytes, 128 more than the number; the products are then too large by 128 times the sum of the
/// weights, which is taken off where the sums are scaled.
/// </param>
/// <param name="WhyNot">Why it cannot run here, or null.</param>
/// <param name="Reason">Why it stands where it does.</param>
internal sealed record QuadKernel(string Name, int Lanes, RegisterTile? Tile, bool IsUnsigned, string? WhyNot, string Reason)
{
    /// <summary>Neighbours along the input that lie together.</summary>
    public const int QuadSize = 4;

    /// <summary>Packed inputs are padded to a multiple of this with zeros: 16 rows of quads are a kilobyte, the tile of a matrix unit.</summary>
    public const int DepthUnit = 64;

    /// <summary>The longest input whose sums INT32 holds whatever the numbers are.</summary>
    public const int MaxInputSize = int.MaxValue / (RowQuantizer.MaxLevel * RowQuantizer.MaxLevel);

    private static readonly Lazy<IReadOnlyList<QuadKernel>> Rows = new(() => CreateTable(GeneratedQuadTile.Shared, GeneratedQuadTile.WhyNotShared));

    private static readonly Lazy<QuadKernel> Tiles = new(() => new(
        "amx", 16, AmxQuadTile.Shared, false, AmxQuadTile.WhyNotShared, "generated code; 16384 multiply-adds an instruction in the tile unit"));

    /// <summary>The product in tiles, which goes before the others on the rung that uses them.</summary>
    public static QuadKernel Amx => Tiles.Value;

    /// <summary>From best to fallback; the last runs everywhere.</summary>
    public static IReadOnlyList<QuadKernel> All => Rows.Value;

    /// <summary>The table, with a generated tile or the reason why there is none.</summary>
    public static IReadOnlyList<QuadKernel> CreateTable(RegisterTile? generated, string? whyNotGenerated) =>
    [
        new("avx512vnni", 16, generated, true, whyNotGenerated, "generated code; 64 multiply-adds an instruction"),
        new("avxvnni", 8, AvxVnni.IsSupported ? new VectorQuadTile<VnniQuadDot, Vector256<int>>() : null, true,
            AvxVnni.IsSupported ? null : "the processor has no AVX_VNNI", "32 multiply-adds an instruction"),
        new("avx2", 8, Avx2.IsSupported ? new VectorQuadTile<Avx2QuadDot, Vector256<int>>() : null, false,
            Avx2.IsSupported ? null : "the processor has no AVX2", "32 multiply-adds in four instructions"),
        new("vector128", 4, new VectorQuadTile<PortableQuadDot, Vector128<int>>(), false, null,
            Dp.IsSupported ? "Arm64 dot products, 16 multiply-adds an instruction" : "the portable path"),
    ];

    /// <summary>Picks the best row whose vectors are no wider than some number of lanes.</summary>
    /// <param name="table">The rows.</param>
    /// <param name="maxLanes">4, 8 or 16.</param>
    /// <param name="reason">Why it was picked.</param>
    public static QuadKernel Select(IReadOnlyList<QuadKernel> table, int maxLanes, out string reason)
    {
        QuadKernel? better = null;
        int index = 0;
        for (; table[index].Tile is null || table[index].Lanes > maxLanes; index++)
        {
            if (table[index].Lanes <= maxLanes) better = table[index];
        }
        reason = better is null ? table[index].Reason : $"{table[index].Reason}; {better.Name} is off: {better.WhyNot}";
        return table[index];
    }
}
