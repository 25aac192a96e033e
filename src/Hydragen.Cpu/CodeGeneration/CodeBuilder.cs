using System.Runtime.InteropServices;
using Iced.Intel;

namespace Hydragen.Cpu;

/// <summary>
/// Collects kernels and assembles them into one block of executable memory. A kernel is a function of the System V convention with
/// one pointer argument, in <c>rdi</c>; it may use rax, rcx, rdx, rsi, rdi, r8 to r11 and all vector registers, and its code must
/// not depend on where it lies. Call it through <c>delegate* unmanaged</c> without suppressing the transition of the garbage
/// collector: a collection would wait for it.
/// </summary>
internal sealed class CodeBuilder
{
    private const int EntryAlignment = 64;
    private const byte Breakpoint = 0xCC;

    private readonly List<byte> _code = [];

    /// <summary>Assembles a kernel; the return is added.</summary>
    /// <returns>Its offset in the block.</returns>
    public int Add(Action<Assembler> emit)
    {
        while (_code.Count % EntryAlignment != 0) _code.Add(Breakpoint);
        int offset = _code.Count;
        var assembler = new Assembler(64);
        emit(assembler);
        assembler.vzeroupper();
        assembler.ret();
        assembler.Assemble(new Writer(_code), rip: 0);
        return offset;
    }

    /// <summary>Makes everything added executable.</summary>
    /// <exception cref="PlatformNotSupportedException">The system does not hand out executable memory.</exception>
    public ExecutableMemory Build() => new(CollectionsMarshal.AsSpan(_code));

    private sealed class Writer(List<byte> code) : CodeWriter
    {
        public override void WriteByte(byte value) => code.Add(value);
    }
}
