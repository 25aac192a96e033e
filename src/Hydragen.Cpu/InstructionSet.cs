using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Hydragen.Cpu;

/// <summary>One row of the table of instruction sets: a name, whether it can run here, and the operators compiled for it.</summary>
/// <param name="Name">What options and environment call it.</param>
/// <param name="VectorName">The row whose vectors its operators use, all but the matrix product.</param>
/// <param name="Title">What people call it.</param>
/// <param name="WhyNot">Why it cannot run here, or null.</param>
/// <param name="Reason">Why it stands where it does.</param>
/// <param name="CreateOperators">Makes the operators.</param>
internal sealed record InstructionSet(
    string Name, string VectorName, string Title, string? WhyNot, string Reason, Func<OperatorSet> CreateOperators)
{
    /// <summary>Environment variable that forces a row by name.</summary>
    public const string Variable = "HYDRAGEN_CPU_ISA";

    private static readonly Lazy<IReadOnlyList<InstructionSet>> Rows = new(() => CreateTable(PairTile.Shared, PairTile.WhyNotShared, AmxTile.Shared, AmxOperatorSet.WhyNot));

    /// <summary>From best to fallback; the last runs everywhere.</summary>
    public static IReadOnlyList<InstructionSet> All => Rows.Value;

    /// <summary>Whether it can run here.</summary>
    public bool IsSupported => WhyNot is null;

    /// <summary>The table, with generated tiles or the reason why there are none.</summary>
    public static IReadOnlyList<InstructionSet> CreateTable(
        PairTile? pairTile, string? whyNoPairTile, AmxTile? amxTile, string? whyNoAmx) =>
    [
        new("amx", "avx512", "AMX tiles, AVX-512 with BF16 dot products, 16 lanes", whyNoAmx,
            "generated code; BF16 weights, keys and values meet BF16 inputs in the tile unit", () => new AmxOperatorSet(amxTile!, pairTile!)),
        new("avx512bf16", "avx512", "AVX-512 with BF16 dot products, 16 lanes", whyNoPairTile,
            "generated code; with BF16 weights and inputs twice the multiply-adds of avx512", () => new PairOperatorSet(pairTile!)),
        new("avx512", "avx512", "AVX-512, 16 lanes", ProcessorFeatures.HasAvx512 ? null : "the processor has no AVX-512",
            "32 registers of 16 lanes, two fused multiply-adds a cycle", () => new OperatorSet<Simd512, Vector512<float>>()),
        new("avx2", "avx2", "AVX2 with FMA, 8 lanes", Avx2.IsSupported && Fma.IsSupported ? null : "the processor has no AVX2 with FMA",
            "16 registers of 8 lanes, two fused multiply-adds a cycle", () => new OperatorSet<Simd256, Vector256<float>>()),
        new("vector128", "vector128", "Vector128, 4 lanes", null,
            "the portable path: Arm64, and x86 without AVX2", () => new OperatorSet<Simd128, Vector128<float>>()),
    ];

    /// <summary>Picks a row.</summary>
    /// <param name="table">The rows.</param>
    /// <param name="option">The name from the options, or null.</param>
    /// <param name="reason">Why it was picked.</param>
    /// <exception cref="ArgumentException">The name is unknown.</exception>
    /// <exception cref="PlatformNotSupportedException">The row that was asked for cannot run here.</exception>
    public static InstructionSet Select(IReadOnlyList<InstructionSet> table, string? option, out string reason)
    {
        string? name = option;
        string source = nameof(CpuOptions) + "." + nameof(CpuOptions.InstructionSet);
        if (name is null)
        {
            name = Environment.GetEnvironmentVariable(Variable);
            source = Variable;
        }
        if (string.IsNullOrEmpty(name))
        {
            int best = 0;
            while (!table[best].IsSupported) best++;
            reason = table[best].Reason;
            if (best > 0) reason += $"; {table[best - 1].Name} is off: {table[best - 1].WhyNot}";
            return table[best];
        }
        InstructionSet chosen = table.FirstOrDefault(row => row.Name == name) ?? throw new ArgumentException(
            $"{source} names the instruction set '{name}', which does not exist; use one of {string.Join(", ", table.Select(row => row.Name))}.");
        if (!chosen.IsSupported)
        {
            throw new PlatformNotSupportedException(
                $"{source} asks for '{name}', but {chosen.WhyNot}; there is {string.Join(", ", table.Where(row => row.IsSupported).Select(row => row.Name))}.");
        }
        reason = $"forced by {source}";
        return chosen;
    }
}
