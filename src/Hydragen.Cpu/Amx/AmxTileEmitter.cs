using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hydragen.Cpu;

/// <summary>
/// Emits the inner loop of a matrix product in tiles: 16 rows × 1 or 2 strips, or 32 rows × 1 strip of FP32 sums. Tiles must be configured as
/// <see cref="AmxTile.Configure"/> does.
/// </summary>
/// <remarks>
/// Two sums, one tile of a and one of b: more registers would spare loads, but while a neighbour on the same physical core is busy, few
/// tiles can be renamed, and every register more that is in use makes all loads wait. Tiles of b are used once by a call, and loaded so
/// that they leave those of a in the first-level cache.
/// </remarks>
internal static class AmxTileEmitter
{
    /// <summary>Rows of a tile, and pair rows of a tile of b.</summary>
    public const int TileRows = 16;

    /// <summary>Elements along the depth of a tile.</summary>
    public const int TileDepth = 32;

    /// <summary>Bytes of a full tile.</summary>
    public const int TileBytes = 1024;

    private const int CacheLine = 64;

    private static readonly AssemblerRegister64 Arguments = rdi, A = rsi, ASecond = rdx, AStride = rcx, AStep = r11,
        B = r8, BSecond = r9, BStride = r10, Count = rax, Ahead = rbx, AheadSecond = rdi;

    private static readonly AssemblerRegisterTMM ATile = tmm2, BTile = tmm3;
    private static readonly AssemblerRegisterTMM[] Sums = [tmm0, tmm1];

    /// <summary>Emits one block size.</summary>
    /// <param name="code">Receives the instructions.</param>
    /// <param name="numTiles">Row tiles: 1, or 2 with one strip.</param>
    /// <param name="numStrips">1, or 2 with one row tile.</param>
    /// <param name="linesAhead">Cache lines of each strip that are fetched into the second-level cache with each step; 0 to 16.</param>
    /// <param name="quads">Whether a and b are INT8 in quads, 64 a step, and c is INT32; otherwise BF16 in pairs and FP32.</param>
    public static void Emit(Assembler code, int numTiles, int numStrips, int linesAhead, bool quads = false)
    {
        Label loop = code.CreateLabel(), load = code.CreateLabel(), start = code.CreateLabel();
        code.push(Ahead);
        code.mov(AStride, __[Arguments + Offset(nameof(AmxTileArguments.CStrideBytes))]);
        code.mov(A, __[Arguments + Offset(nameof(AmxTileArguments.C))]);
        code.cmp(__qword_ptr[Arguments + Offset(nameof(AmxTileArguments.Adds))], 0);
        code.jnz(load);
        for (int i = 0; i < numTiles * numStrips; i++) code.tilezero(Sums[i]);
        code.jmp(start);
        code.Label(ref load);
        ForEachSum(code, numTiles, numStrips, (sums, address) => code.tileloadd(sums, address));

        code.Label(ref start);
        code.mov(A, __[Arguments + Offset(nameof(AmxTileArguments.A))]);
        code.mov(ASecond, __[Arguments + Offset(nameof(AmxTileArguments.ATileBytes))]);
        code.add(ASecond, A);
        code.mov(AStride, __[Arguments + Offset(nameof(AmxTileArguments.AStrideBytes))]);
        code.mov(AStep, __[Arguments + Offset(nameof(AmxTileArguments.AStepBytes))]);
        code.mov(B, __[Arguments + Offset(nameof(AmxTileArguments.B))]);
        code.mov(BSecond, __[Arguments + Offset(nameof(AmxTileArguments.StripStrideBytes))]);
        code.mov(Ahead, __[Arguments + Offset(nameof(AmxTileArguments.Ahead))]);
        code.mov(Count, __[Arguments + Offset(nameof(AmxTileArguments.Steps))]);
        code.mov(BStride, CacheLine);
        code.push(Arguments);
        code.lea(AheadSecond, __[Ahead + BSecond]);
        code.add(BSecond, B);

        code.Label(ref loop);
        for (int i = 0; i < numTiles * numStrips; i++)
        {
            if (i == 0 || numStrips > 1) code.tileloaddt1(BTile, __[(i == 0 ? B : BSecond) + BStride]);
            if (i == 0 || numTiles > 1) code.tileloadd(ATile, __[(i == 0 ? A : ASecond) + AStride]);
            if (quads) code.tdpbssd(Sums[i], ATile, BTile);
            else code.tdpbf16ps(Sums[i], ATile, BTile);
        }
        for (int line = 0; line < linesAhead; line++)
        {
            for (int strip = 0; strip < numStrips; strip++) code.prefetcht1(__[(strip == 0 ? Ahead : AheadSecond) + line * CacheLine]);
        }
        code.add(A, AStep);
        code.add(B, TileBytes);
        if (numTiles > 1) code.add(ASecond, AStep);
        if (numStrips > 1) code.add(BSecond, TileBytes);
        if (linesAhead > 0)
        {
            code.add(Ahead, linesAhead * CacheLine);
            code.add(AheadSecond, linesAhead * CacheLine);
        }
        code.dec(Count);
        code.jnz(loop);

        code.pop(Arguments);
        code.pop(Ahead);
        code.mov(AStride, __[Arguments + Offset(nameof(AmxTileArguments.CStrideBytes))]);
        code.mov(A, __[Arguments + Offset(nameof(AmxTileArguments.C))]);
        ForEachSum(code, numTiles, numStrips, (sums, address) => code.tilestored(address, sums));
    }

    /// <summary>Emits a loop that asks for lines to write: first line, bytes from row to row, rows, and bytes of a row.</summary>
    public static void EmitFetchToWrite(Assembler code)
    {
        AssemblerRegister64 first = rdi, stride = rsi, rows = rdx, rowBytes = rcx, offset = rax;
        Label row = code.CreateLabel(), line = code.CreateLabel();
        code.Label(ref row);
        code.xor(eax, eax);
        code.Label(ref line);
        code.prefetchw(__byte_ptr[first + offset]);
        code.add(offset, CacheLine);
        code.cmp(offset, rowBytes);
        code.jl(line);
        code.add(first, stride);
        code.dec(rows);
        code.jnz(row);
    }

    // Leaves A behind the last row of tiles.
    private static void ForEachSum(Assembler code, int numTiles, int numStrips, Action<AssemblerRegisterTMM, AssemblerMemoryOperand> emit)
    {
        for (int tile = 0; tile < numTiles; tile++)
        {
            for (int strip = 0; strip < numStrips; strip++)
                emit(Sums[tile * numStrips + strip], __[A + AStride + strip * TileShape.StripWidth * sizeof(float)]);
            if (tile + 1 == numTiles) continue;
            code.mov(ASecond, AStride);
            code.shl(ASecond, 4);
            code.add(A, ASecond);
        }
    }

    private static int Offset(string field) => (int)Marshal.OffsetOf<AmxTileArguments>(field);
}
