using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Hydragen.Cpu;

/// <summary>One row of the table of instruction sets: a name, whether the processor has it, and the operators compiled for it.</summary>
/// <param name="Name">What options and environment call it.</param>
/// <param name="Title">What people call it.</param>
/// <param name="IsSupported">Whether this processor can run it.</param>
/// <param name="Reason">Why it stands where it does.</param>
/// <param name="CreateOperators">Makes the operators.</param>
internal sealed record InstructionSet(string Name, string Title, bool IsSupported, string Reason, Func<OperatorSet> CreateOperators)
{
    /// <summary>Environment variable that forces a row by name.</summary>
    public const string Variable = "HYDRAGEN_CPU_ISA";

    /// <summary>From best to fallback; the last runs everywhere.</summary>
    public static IReadOnlyList<InstructionSet> All { get; } =
    [
        new("avx512", "AVX-512, 16 lanes", Avx512F.IsSupported && Avx512BW.IsSupported && Avx512DQ.IsSupported && Avx512F.VL.IsSupported,
            "32 registers of 16 lanes, two fused multiply-adds a cycle", () => new OperatorSet<Simd512, Vector512<float>>()),
        new("avx2", "AVX2 with FMA, 8 lanes", Avx2.IsSupported && Fma.IsSupported,
            "the processor has no AVX-512", () => new OperatorSet<Simd256, Vector256<float>>()),
        new("vector128", "Vector128, 4 lanes", true,
            "the portable path: Arm64, and x86 without AVX2", () => new OperatorSet<Simd128, Vector128<float>>()),
    ];

    /// <summary>Picks a row.</summary>
    /// <param name="option">The name from the options, or null.</param>
    /// <param name="reason">Why it was picked.</param>
    /// <exception cref="ArgumentException">The name is unknown.</exception>
    /// <exception cref="PlatformNotSupportedException">The processor cannot run the row that was asked for.</exception>
    public static InstructionSet Select(string? option, out string reason)
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
            InstructionSet best = All.First(row => row.IsSupported);
            reason = best.Reason;
            return best;
        }
        InstructionSet chosen = All.FirstOrDefault(row => row.Name == name) ?? throw new ArgumentException(
            $"{source} names the instruction set '{name}', which does not exist; use one of {string.Join(", ", All.Select(row => row.Name))}.");
        if (!chosen.IsSupported)
        {
            throw new PlatformNotSupportedException(
                $"{source} asks for '{name}', which this processor does not have; it has {string.Join(", ", All.Where(row => row.IsSupported).Select(row => row.Name))}.");
        }
        reason = $"forced by {source}";
        return chosen;
    }
}
