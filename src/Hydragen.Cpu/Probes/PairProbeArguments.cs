using System.Runtime.InteropServices;

namespace Hydragen.Cpu;

/// <summary>What a generated probe loop is told.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct PairProbeArguments
{
    /// <summary>BF16 <c>[8192]</c> on a cache line: <see cref="PairProbeEmitter.OperandBytes"/>.</summary>
    public byte* Operands;

    /// <summary>Times around the loop, at least 1.</summary>
    public nint NumRounds;

    /// <summary>FP32 <c>[1024]</c>: receives the sums; see <see cref="PairProbeEmitter.SumBytes"/>.</summary>
    public float* Sums;
}
