using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hydragen.Cpu;

/// <summary>Emits loops that only multiply BF16 pairs, from registers or from the first-level cache.</summary>
internal static class PairProbeEmitter
{
    /// <summary>What a loop over memory reads: a third to a half of a first-level cache.</summary>
    public const int OperandBytes = StepsPerRound * TilesPerStep * AmxTileEmitter.TileBytes;

    /// <summary>Room for the sums of either unit.</summary>
    public const int SumBytes = 4 * AmxTileEmitter.TileBytes;

    // Enough independent sums to hide the latency; the rest of the registers holds operands.
    private const int NumVectorSums = 24, VectorBytes = 64;

    private const int StepsPerRound = 4, TilesPerStep = 4;

    private static readonly AssemblerRegister64 Operands = rsi, Stride = rcx, Count = rax, Sums = rdx;

    private static readonly AssemblerRegisterZMM[] VectorSums =
    [
        zmm0, zmm1, zmm2, zmm3, zmm4, zmm5, zmm6, zmm7, zmm8, zmm9, zmm10, zmm11,
        zmm12, zmm13, zmm14, zmm15, zmm16, zmm17, zmm18, zmm19, zmm20, zmm21, zmm22, zmm23,
    ];

    private static readonly AssemblerRegisterTMM[] TileSums = [tmm0, tmm1, tmm2, tmm3];

    /// <summary>Multiply-adds of a round of vectors, each counted as two operations.</summary>
    public static long VectorFlops => 2L * NumVectorSums * VectorBytes / sizeof(ushort);

    /// <summary>The same for a round of tiles.</summary>
    public static long TileFlops => 2L * StepsPerRound * TileSums.Length * AmxTileEmitter.TileRows * TileShape.StripWidth * AmxTileEmitter.TileDepth;

    /// <summary>A loop of <c>vdpbf16ps</c>.</summary>
    public static void EmitVectors(Assembler code, bool fromMemory)
    {
        Label loop = code.CreateLabel();
        LoadArguments(code);
        foreach (AssemblerRegisterZMM sum in VectorSums) code.vpxord(sum, sum, sum);
        code.vmovups(zmm24, __zmmword_ptr[Operands]);
        code.vmovups(zmm25, __zmmword_ptr[Operands + VectorBytes]);
        code.Label(ref loop);
        for (int i = 0; i < NumVectorSums; i++)
        {
            if (fromMemory) code.vdpbf16ps(VectorSums[i], zmm24, __zmmword_ptr[Operands + i * VectorBytes]);
            else code.vdpbf16ps(VectorSums[i], zmm24, zmm25);
        }
        code.dec(Count);
        code.jnz(loop);
        for (int i = 0; i < NumVectorSums; i++) code.vmovups(__zmmword_ptr[Sums + i * VectorBytes], VectorSums[i]);
    }

    /// <summary>A loop of <c>tdpbf16ps</c> on blocks of 2 × 2 tiles; tiles must be configured as <see cref="AmxTile.Configure"/> does.</summary>
    public static void EmitTiles(Assembler code, bool fromMemory)
    {
        Label loop = code.CreateLabel();
        LoadArguments(code);
        code.mov(Stride, VectorBytes);
        foreach (AssemblerRegisterTMM sum in TileSums) code.tilezero(sum);
        LoadTiles(code, 0);
        code.Label(ref loop);
        for (int step = 0; step < StepsPerRound; step++)
        {
            if (fromMemory) LoadTiles(code, step);
            code.tdpbf16ps(tmm0, tmm4, tmm6);
            code.tdpbf16ps(tmm1, tmm4, tmm7);
            code.tdpbf16ps(tmm2, tmm5, tmm6);
            code.tdpbf16ps(tmm3, tmm5, tmm7);
        }
        code.dec(Count);
        code.jnz(loop);
        for (int i = 0; i < TileSums.Length; i++) code.tilestored(__[Sums + Stride + i * AmxTileEmitter.TileBytes], TileSums[i]);
    }

    private static void LoadArguments(Assembler code)
    {
        code.mov(Operands, __[rdi + Offset(nameof(PairProbeArguments.Operands))]);
        code.mov(Count, __[rdi + Offset(nameof(PairProbeArguments.NumRounds))]);
        code.mov(Sums, __[rdi + Offset(nameof(PairProbeArguments.Sums))]);
    }

    private static void LoadTiles(Assembler code, int step)
    {
        AssemblerRegisterTMM[] tiles = [tmm4, tmm6, tmm7, tmm5];
        for (int i = 0; i < TilesPerStep; i++)
            code.tileloadd(tiles[i], __[Operands + Stride + (step * TilesPerStep + i) * AmxTileEmitter.TileBytes]);
    }

    private static int Offset(string field) => (int)Marshal.OffsetOf<PairProbeArguments>(field);
}
