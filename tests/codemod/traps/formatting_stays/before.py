import torch   # two spaces too many


x = torch.ones( 2 ,
                2 ).cuda( )   # odd, and none of our business
device = ( "cuda"   # here
           if torch . cuda . is_available()
           else "cpu" )
é = torch.zeros(1).cuda(); ü = é.is_cuda
