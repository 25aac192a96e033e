using Hydragen.Testing;

namespace Hydragen.Cpu.Tests;

/// <summary>Puts every block of a backend against a guard page, fills fresh memory with NaN, and counts what is alive.</summary>
internal sealed unsafe class GuardedAllocator(bool flushToEnd) : NativeAllocator
{
    private int _numLive;

    public int NumLive => Volatile.Read(ref _numLive);

    public override NativeBlock Allocate(nuint size, bool zeroed)
    {
        var memory = new GuardedMemory(size, flushToEnd);
        if (!zeroed) new Span<byte>(memory.Pointer, checked((int)size)).Fill(0xFF);
        Interlocked.Increment(ref _numLive);
        return new Block(this, memory, size);
    }

    private sealed class Block(GuardedAllocator owner, GuardedMemory memory, nuint size) : NativeBlock(memory.Pointer, size)
    {
        protected override void Free(byte* pointer)
        {
            Interlocked.Decrement(ref owner._numLive);
            memory.Dispose();
        }
    }
}
