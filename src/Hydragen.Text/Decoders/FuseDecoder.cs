namespace Hydragen.Text.Decoders;

/// <summary>Joins all tokens into one.</summary>
internal sealed class FuseDecoder : Decoder
{
    public override DecodeStage Start(DecodeStage next) => new Stage(next);

    private sealed class Stage(DecodeStage next) : DecodeStage
    {
        public override void Write(ReadOnlySpan<char> text, bool endsToken) => next.Write(text, endsToken: false);

        public override void Complete()
        {
            next.Write([], endsToken: true);
            next.Complete();
        }
    }
}
