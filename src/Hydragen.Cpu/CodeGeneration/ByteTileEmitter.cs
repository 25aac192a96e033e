using Hydragen.Core;
using Iced.Intel;
using static Hydragen.Cpu.RegisterTileEmitter;
using static Iced.Intel.AssemblerRegisters;

namespace Hydragen.Cpu;

/// <summary>
/// Emits the tiles of BF16 rows over bytes of a KV cache: 64 bytes of a strip are widened to two lines of BF16 pairs by table
/// (<see cref="ByteTable"/>), which <c>vdpbf16ps</c> multiplies in the order of <see cref="PairTileEmitter"/>.
/// </summary>
internal sealed unsafe class ByteTileEmitter
{
    /// <summary>The most rows: their sums leave room for the table.</summary>
    public const int MaxRows = 4;

    private const int PairBytes = 2 * sizeof(ushort);
    private const int TableLines = 4, LineBytes = 64, StripsAtOnce = 2;

    private static readonly AssemblerRegisterZMM[] Table = [zmm16, zmm17, zmm18, zmm19];
    private static readonly AssemblerRegisterZMM Order = zmm20, Signs = zmm21, Upper = zmm22;
    private static readonly AssemblerRegisterZMM[] Columns = [zmm23, zmm24, zmm25, zmm26], Factors = [zmm27, zmm28, zmm29];

    private readonly nint _table;
    private readonly Arithmetic _arithmetic;

    public ByteTileEmitter(ElementType type)
    {
        _table = (nint)ByteTable.For(type);
        _arithmetic = new Arithmetic(4, 2 * PairBytes, MultiplyGroup, (code, sums, addends) => code.vaddps(sums, sums, addends), LoadTable);
    }

    /// <summary>Emits one tile size.</summary>
    /// <param name="code">Receives the instructions.</param>
    /// <param name="numRows">1 to 4.</param>
    /// <param name="numStrips">1, 2 or 4.</param>
    public void Emit(Assembler code, int numRows, int numStrips) => RegisterTileEmitter.Emit(code, numRows, numStrips, _arithmetic);

    // The table never moves, so its address may stand in the code.
    private void LoadTable(Assembler code)
    {
        code.push(rax);
        code.mov(rax, _table);
        for (int i = 0; i < TableLines; i++) code.vmovdqu64(Table[i], __zmmword_ptr[rax + i * LineBytes]);
        code.vmovdqu64(Order, __zmmword_ptr[rax + TableLines * LineBytes]);
        code.mov(eax, ByteTable.SignBits);
        code.vpbroadcastd(Signs, eax);
        code.pop(rax);
    }

    // Two strips share what is loaded of the rows.
    private static void MultiplyGroup(Assembler code, int numRows, int numStrips)
    {
        for (int strip = 0; strip < numStrips; strip += StripsAtOnce)
        {
            int count = Math.Min(StripsAtOnce, numStrips - strip);
            for (int i = 0; i < count; i++) Widen(code, strip + i, Columns[2 * i], Columns[2 * i + 1]);
            for (int pair = 0; pair < 2; pair++)
            {
                for (int row = 0; row < numRows; row++)
                {
                    AssemblerRegisterZMM factor = Factors[row % Factors.Length];
                    code.vbroadcastss(factor, __dword_ptr[Row(row) + pair * PairBytes]);
                    for (int i = 0; i < count; i++) code.vdpbf16ps(Registers[row * numStrips + strip + i], factor, Columns[2 * i + pair]);
                }
            }
        }
    }

    private static void Widen(Assembler code, int strip, AssemblerRegisterZMM first, AssemblerRegisterZMM second)
    {
        code.vpermq(first, Order, __zmmword_ptr[Strip(strip)]);
        code.vmovdqa64(Upper, first);
        code.vmovdqa64(second, first);
        code.vpermi2b(Upper, Table[0], Table[1]);
        code.vpermi2b(second, Table[2], Table[3]);
        code.vpternlogd(Upper, first, Signs, ByteTable.MergeSelected);
        code.vpunpcklbw(first, second, Upper);
        code.vpunpckhbw(second, second, Upper);
    }
}
